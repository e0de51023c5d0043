//! Records baselines from reports that are already there, or shows a report beside the recorded one:
//!
//! ```sh
//! cargo run -p aegisbpf-measure --example baseline -- record fixtures/baselines REPORT.json…
//! cargo run -p aegisbpf-measure --example baseline -- compare fixtures/baselines REPORT.json…
//! ```

use std::{env, error::Error, fs, path::Path};

use aegisbpf_measure::{
    Record,
    baseline::{self, Baseline},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [verb, directory, reports @ ..] = arguments.as_slice() else {
        return Err("say: record|compare DIRECTORY REPORT.json…".into());
    };
    let directory = Path::new(directory);
    for report in reports {
        let record: Record = serde_json::from_str(&fs::read_to_string(report)?)?;
        let workload = &record.plan.workload;
        match verb.as_str() {
            "record" => {
                let path = baseline::path(directory, &record.fingerprint, workload);
                match Baseline::of(&record) {
                    Ok(found) => {
                        found.write(&path)?;
                        println!("{workload}: {}", path.display());
                    }
                    Err(error) => println!("{workload}: {error}"),
                }
            }
            "compare" => match baseline::find(directory, &record.fingerprint, workload)? {
                Some((name, found)) => {
                    println!("{workload}: {}", found.compare(&record, &name).sentence);
                }
                None => println!("{workload}: nothing is recorded"),
            },
            other => return Err(format!("{other}: neither record nor compare").into()),
        }
    }
    Ok(())
}
