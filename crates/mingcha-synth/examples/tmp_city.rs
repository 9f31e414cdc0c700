use mingcha_synth::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let format = match a[3].as_str() {
        "mixed" => CityFormat::Mixed,
        "parquet" => CityFormat::Parquet,
        "variant" => CityFormat::ParquetVariant,
        "csv" => CityFormat::CsvUtf8,
        "gb" => CityFormat::CsvGb18030,
        _ => CityFormat::Xlsx,
    };
    let o = CityOptions {
        persons: a[1].parse().unwrap(),
        seed: std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1),
        as_of: a.get(4).map(|s| s.parse().unwrap()).unwrap_or("2026-06-30".parse().unwrap()),
        format,
        dirt: true,
        threads: 0,
    };
    let t = std::time::Instant::now();
    let r = write_city(&o, std::path::Path::new(&a[2]), &|_, _, _| ()).unwrap();
    println!("{:?}", t.elapsed());
    for (k, v) in &r.rows {
        println!("{k}: {v}");
    }
    let hits: u64 = r.planted.iter().filter(|(k, _)| k.1 == "hit").map(|(_, v)| v).sum();
    let all: u64 = r.planted.values().sum();
    println!("hits {hits} spared {}", all - hits);
    for (k, v) in &r.planted {
        println!("{k:?}: {v}");
    }
}
