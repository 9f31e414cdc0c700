//! The map of the city: ten invented counties, their villages, hospitals, clinics and funeral homes, and
//! which feeds reach the city from which county. Knows no person.

use crate::dice::Dice;

/// A county or district.
pub(crate) struct County {
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    /// Share of the people.
    weight: u32,
}

/// The counties; the last two have gaps in their feeds.
pub(crate) const COUNTIES: [County; 10] = [
    County { code: 880_101, name: "云栖区", weight: 18 },
    County { code: 880_102, name: "临泽区", weight: 15 },
    County { code: 880_103, name: "望川区", weight: 12 },
    County { code: 880_104, name: "新禾区", weight: 11 },
    County { code: 880_121, name: "青崖县", weight: 10 },
    County { code: 880_122, name: "双溪县", weight: 9 },
    County { code: 880_123, name: "石桥县", weight: 8 },
    County { code: 880_124, name: "平沙县", weight: 7 },
    County { code: 880_125, name: "远岭县", weight: 5 },
    County { code: 880_181, name: "归湖市", weight: 5 },
];

/// Counties whose four feeds of life signs came every month.
pub(crate) const COVERED: usize = 8;
/// The county where only one feed of life signs came: nobody there can be called silent.
pub(crate) const UNSEEN: usize = 8;
/// The county without transit, where the two medical feeds miss two months of every twenty-four.
pub(crate) const PARTLY_SEEN: usize = 9;

/// The feeds that show signs of life.
pub(crate) const FEEDS: [&str; 4] =
    ["hospital_admissions", "outpatient_visits", "transit_renewals", "transit_rides"];

const VILLAGE_FIRST: &[&str] =
    &["青", "白", "上", "下", "东", "西", "新", "老", "大", "小", "长", "清", "金", "银", "云", "柳"];
const VILLAGE_SECOND: &[&str] =
    &["禾", "河", "塘", "桥", "坪", "湾", "岭", "井", "林", "坝", "田", "沟", "庄", "屯", "溪", "坡"];

/// A county, by the share of its people.
pub(crate) fn county(dice: &mut Dice) -> usize {
    dice.weighted(&COUNTIES.each_ref().map(|c| c.weight))
}

/// The codes of all counties, in their order.
pub(crate) fn codes() -> Vec<u32> {
    COUNTIES.iter().map(|c| c.code).collect()
}

/// A village or community.
pub(crate) fn village(dice: &mut Dice) -> String {
    let kind = if dice.percent(60) { "村" } else { "社区" };
    format!("{}{}{kind}", dice.pick(VILLAGE_FIRST), dice.pick(VILLAGE_SECOND))
}

/// One of the three hospitals of a county.
pub(crate) fn hospital(county: usize, which: u64) -> String {
    format!("H{}{:03}", COUNTIES[county].code, which % 3 + 1)
}

/// One of the clinics or pharmacies of a county.
pub(crate) fn clinic(county: usize, which: u64) -> String {
    format!("P{}{:03}", COUNTIES[county].code, which % 40 + 1)
}

/// The funeral home that serves a county.
pub(crate) fn funeral_home(county: usize) -> String {
    format!("{}殡仪馆", COUNTIES[county].name)
}

/// The body that signs death certificates in a county.
pub(crate) fn certifier(county: usize) -> String {
    format!("{}人民医院", COUNTIES[county].name)
}

/// Whether the feed (index into [`FEEDS`]) came from the county in the month so many months ago.
/// `None`: there is not even a row about it.
pub(crate) fn delivered(feed: usize, county: usize, months_ago: u32) -> Option<bool> {
    match (county, feed) {
        (UNSEEN, 1) => Some(true),
        (UNSEEN, 0) => Some(months_ago % 5 < 3),
        (UNSEEN, 2) => Some(false),
        (UNSEEN, _) => None,
        (PARTLY_SEEN, 0 | 1) => Some(months_ago % 24 != 5 && months_ago % 24 != 11),
        (PARTLY_SEEN, _) => Some(false),
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gaps_are_where_the_cases_need_them() {
        for months in [24_u32, 36] {
            let covering = |county| {
                (0..FEEDS.len())
                    .filter(|feed| {
                        (0..months).filter(|m| delivered(*feed, county, *m) == Some(true)).count() * 5
                            >= months as usize * 4
                    })
                    .count()
            };
            assert_eq!(covering(UNSEEN), 1);
            assert_eq!(covering(PARTLY_SEEN), 2);
            assert!((0..COVERED).all(|county| covering(county) == 4));
        }
    }
}
