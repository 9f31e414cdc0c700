//! Rules and contracts are part of the binary: a new or changed file in them is a reason to build it again.

fn main() {
    for folder in ["../../rules", "../../datasets"] {
        println!("cargo::rerun-if-changed={folder}");
    }
}
