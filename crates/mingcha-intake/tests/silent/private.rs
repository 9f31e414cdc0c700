//! A store shows people in full: nobody but its owner may read it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{World, person};

/// What lies below a folder, with its rights.
fn rights(path: &Path, out: &mut Vec<(String, u32, bool)>) {
    let metadata = fs::metadata(path).unwrap();
    out.push((path.display().to_string(), metadata.permissions().mode() & 0o777, metadata.is_dir()));
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| rights(&entry.unwrap().path(), out));
    }
}

#[test]
fn everything_in_a_store_is_its_owners_alone_also_in_one_that_is_built_upon() {
    let payee = |n: u16| format!("{},张某甲,170,1\n", person(n));
    let head = "身份证号,姓名,险种,待遇状态\n";
    let world = World::new()
        .with("pension_payees.csv", head.to_owned() + &(0..9).map(payee).collect::<String>())
        .with("cremations.csv", format!("身份证号,火化日期\n{},2025-03-05\n,不是日期\n", person(1)));
    for step in 0..2 {
        if step == 1 {
            let more = head.to_owned() + &(0..12).map(payee).collect::<String>();
            fs::write(world.dir.path().join("in/pension_payees.csv"), more).unwrap();
        }
        world.run().unwrap();
        let mut all = Vec::new();
        rights(&world.store(), &mut all);
        let files = ["rejects.csv", "rejects.parquet", "quality.txt", "quality.json", "manifest.json"];
        assert!(files.iter().all(|name| all.iter().any(|(path, ..)| path.ends_with(name))), "{all:?}");
        let open: Vec<_> =
            all.iter().filter(|(_, mode, dir)| *mode != if *dir { 0o700 } else { 0o600 }).collect();
        assert!(open.is_empty(), "others can read: {open:?}");
    }
}
