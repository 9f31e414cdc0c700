//! The population: households with their members, ages, sexes and numbers. Knows who lives where; what
//! happens to them is told in `life`.

use chrono::NaiveDate;

use crate::SynthError;
use crate::calendar::{Clock, before};
use crate::dice::{Dice, Purpose};
use crate::identity::{Identity, Registrar, Sex};
use crate::places;

/// Households generated and written together.
const CHUNK: u64 = 2_000;

/// Shares of the heads of households by age group of five years, from 20 to 94.
const HEAD_AGES: [u32; 15] = [26, 50, 86, 78, 74, 92, 100, 88, 68, 68, 46, 30, 19, 10, 3];

/// Place of a person in the household, as GB/T 4761 codes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Head,
    Spouse,
    Son,
    Daughter,
    Grandchild,
    Father,
    Mother,
}

impl Relation {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Head => "02",
            Self::Spouse => "10",
            Self::Son => "20",
            Self::Daughter => "30",
            Self::Grandchild => "40",
            Self::Father => "51",
            Self::Mother => "52",
        }
    }
}

/// A member of a household before a number is issued.
#[derive(Debug, Clone, Copy)]
struct Seat {
    relation: Relation,
    sex: Sex,
    birth: NaiveDate,
    /// Where the number was issued, which need not be where the person lives.
    issued: usize,
}

/// A person of the ordinary population.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person {
    /// Position in the whole population, which account and card numbers are made of.
    pub(crate) index: u64,
    pub(crate) identity: Identity,
    pub(crate) relation: Relation,
}

/// A household of the ordinary population.
#[derive(Debug, Clone)]
pub(crate) struct Household {
    /// Position in the city, which its number is made of.
    pub(crate) index: u64,
    pub(crate) county: usize,
    pub(crate) people: Vec<Person>,
}

/// Which households a chunk holds, and the index of its first person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    first_household: u64,
    households: u64,
    first_person: u64,
}

/// The whole population in outline: enough to write any household again without the others.
pub(crate) struct Census {
    seed: u64,
    clock: Clock,
    persons: u64,
    areas: Vec<u32>,
    sequences: Vec<u16>,
    pub(crate) chunks: Vec<Chunk>,
}

impl Census {
    /// Counts the people and gives everybody a number. One pass, two bytes a person.
    pub(crate) fn take(
        seed: u64,
        clock: Clock,
        persons: u64,
        registrar: &mut Registrar,
    ) -> Result<Self, SynthError> {
        let mut census =
            Self { seed, clock, persons, areas: places::codes(), sequences: Vec::new(), chunks: Vec::new() };
        let mut counted = 0;
        let mut household = 0;
        while counted < persons {
            if household % CHUNK == 0 {
                census.chunks.push(Chunk {
                    first_household: household,
                    households: 0,
                    first_person: counted,
                });
            }
            for seat in census.seats(household, counted) {
                let identity =
                    registrar.issue(seat.issued, seat.birth, seat.sex).ok_or(SynthError::TooManyPersons)?;
                census.sequences.push(identity.sequence);
                counted += 1;
            }
            household += 1;
            if let Some(chunk) = census.chunks.last_mut() {
                chunk.households += 1;
            }
        }
        Ok(census)
    }

    /// Everybody in a chunk.
    pub(crate) fn households(&self, chunk: &Chunk) -> Vec<Household> {
        let mut index = chunk.first_person;
        (chunk.first_household..chunk.first_household + chunk.households)
            .map(|household| {
                let seats = self.seats(household, index);
                let people = seats.iter().map(|seat| {
                    let sequence = self.sequences.get(index as usize).copied().unwrap_or_default();
                    let identity = Registrar::known(&self.areas, seat.issued, seat.birth, sequence);
                    index += 1;
                    Person { index: index - 1, identity, relation: seat.relation }
                });
                let people = people.collect();
                Household { index: household, county: self.county(household), people }
            })
            .collect()
    }

    fn county(&self, household: u64) -> usize {
        places::county(&mut Dice::new(self.seed, Purpose::Household, household))
    }

    /// The members of a household; the last one of the city may be cut short.
    fn seats(&self, household: u64, counted: u64) -> Vec<Seat> {
        let mut dice = Dice::new(self.seed, Purpose::Household, household);
        let county = places::county(&mut dice);
        let mut seats = Seats { dice: &mut dice, clock: self.clock, county, list: Vec::with_capacity(5) };
        seats.fill();
        let mut list = seats.list;
        list.truncate(usize::try_from(self.persons - counted).unwrap_or(usize::MAX));
        list
    }
}

/// A household being filled.
struct Seats<'a> {
    dice: &'a mut Dice,
    clock: Clock,
    county: usize,
    list: Vec<Seat>,
}

impl Seats<'_> {
    fn fill(&mut self) {
        let group = self.dice.weighted(&HEAD_AGES) as i64;
        let head = 20 + group * 5 + self.dice.between(0, 4);
        let sex = if self.dice.percent(72) { Sex::Male } else { Sex::Female };
        self.add(Relation::Head, sex, head);
        // Shares of: alone, couple, couple with children, three generations.
        let kind = match head {
            ..35 => self.dice.weighted(&[26, 18, 54, 2]),
            35..60 => self.dice.weighted(&[9, 11, 54, 26]),
            _ => self.dice.weighted(&[22, 44, 8, 26]),
        };
        if kind >= 1 {
            let gap = self.dice.between(-5, 3);
            self.add(Relation::Spouse, sex.other(), (head + gap).clamp(20, 97));
        }
        if kind >= 2 {
            self.children(head);
        }
        if kind == 3 {
            self.third_generation(head);
        }
    }

    fn children(&mut self, head: i64) {
        let count = self.dice.weighted(&[0, 46, 44, 10]);
        let oldest = head - self.dice.between(21, 31);
        for birth_order in 0..count as i64 {
            let age = oldest - birth_order * self.dice.between(2, 5);
            if age < 0 {
                continue;
            }
            let sex = if self.dice.percent(52) { Sex::Male } else { Sex::Female };
            self.add(child(sex), sex, age);
            if self.dice.percent(1) {
                self.twin();
            }
        }
    }

    /// The last child again: same day, same place.
    fn twin(&mut self) {
        if let Some(&first) = self.list.last() {
            let sex = if self.dice.percent(50) { first.sex } else { first.sex.other() };
            self.list.push(Seat { relation: child(sex), sex, ..first });
        }
    }

    fn third_generation(&mut self, head: i64) {
        if head < 60 {
            let mother = head + self.dice.between(20, 32);
            self.add(Relation::Mother, Sex::Female, mother.min(97));
            if self.dice.percent(55) {
                let gap = self.dice.between(0, 6);
                self.add(Relation::Father, Sex::Male, (mother + gap).min(97));
            }
        } else {
            let age = head - self.dice.between(48, 62);
            let sex = if self.dice.percent(52) { Sex::Male } else { Sex::Female };
            self.add(Relation::Grandchild, sex, age.max(0));
            if self.dice.percent(45) {
                let gap = self.dice.between(2, 5);
                self.add(Relation::Grandchild, sex.other(), (age - gap).max(0));
            }
        }
    }

    fn add(&mut self, relation: Relation, sex: Sex, age: i64) {
        let days = age * 1461 / 4 + self.dice.between(0, 364);
        let birth = before(self.clock.as_of, days.cast_unsigned());
        let issued = if self.dice.percent(90) { self.county } else { places::county(self.dice) };
        self.list.push(Seat { relation, sex, birth, issued });
    }
}

fn child(sex: Sex) -> Relation {
    match sex {
        Sex::Male => Relation::Son,
        Sex::Female => Relation::Daughter,
    }
}
