//! Planted cases: what a rule must flag, and what it must leave alone. Every case is a function that builds
//! the controlled life of fresh people and writes down, from the rule's plain-words text and never from a
//! query, which rules flag whom. A case lists *all* rules that its people are hit by.
//!
//! Planted people are 62 to 68 years old unless age is the point: too young for the rules about silence and
//! great age, old enough for a pension.

mod aged;
mod conflict;
mod death;
mod identity;
mod medical;
mod overlap;
mod scene;

pub(crate) use scene::Scene;

use crate::SynthError;
use crate::calendar::Clock;
use crate::identity::Registrar;
use crate::records::Rows;
use crate::truth::TruthRow;
use death::Source;

/// How a case is planted.
#[derive(Clone, Copy)]
enum Plant {
    /// One case, for each time it is wanted.
    Each(fn(&mut Scene<'_>)),
    /// The same, for one source of a death.
    Death(fn(&mut Scene<'_>, Source), Source),
    /// All cases of the kind at once.
    Together(fn(&mut Scene<'_>, u64)),
}

/// A kind of case.
#[derive(Clone, Copy)]
struct Case {
    /// What it shows; becomes the note in the truth table.
    name: &'static str,
    plant: Plant,
}

impl Case {
    fn play(&self, scene: &mut Scene<'_>, count: u64) {
        match self.plant {
            Plant::Each(plant) => (0..count).for_each(|_| plant(scene)),
            Plant::Death(plant, source) => (0..count).for_each(|_| plant(scene, source)),
            Plant::Together(plant) => plant(scene, count),
        }
    }
}

const fn each(name: &'static str, plant: fn(&mut Scene<'_>)) -> Case {
    Case { name, plant: Plant::Each(plant) }
}

/// How many cases of each kind a city of so many persons holds.
pub(crate) fn per_kind(persons: u64) -> u64 {
    (persons / 20_000).max(3)
}

/// Kinds that only spare people are planted so many times as often: accusing the innocent is the worse
/// fault, so near misses outnumber hits.
const SPARED: u64 = 3;

/// Plants every kind of case and gives the rows and the truth about them.
pub(crate) fn plant(
    seed: u64,
    clock: Clock,
    persons: u64,
    dirt: bool,
    registrar: &mut Registrar,
) -> Result<(Rows, Vec<TruthRow>), SynthError> {
    let mut scene = Scene::new(seed, clock, registrar);
    let count = per_kind(persons);
    let mut cases = death::cases();
    cases.extend(conflict::CASES);
    cases.extend(aged::CASES);
    cases.extend(overlap::CASES);
    cases.extend(identity::CASES);
    cases.extend(medical::CASES);
    for (kind, case) in cases.iter().enumerate() {
        scene.open(kind as u64, case.name);
        let hits = scene.hits();
        case.play(&mut scene, count);
        if scene.hits() == hits && !matches!(case.plant, Plant::Together(_)) {
            case.play(&mut scene, count * (SPARED - 1));
        }
    }
    if dirt {
        scene.open(cases.len() as u64, "damaged number");
        // Damaged rows stay well below one in a hundred even in the smallest city.
        identity::damaged(&mut scene, count.min((persons / 400).max(2)));
    }
    scene.close()
}
