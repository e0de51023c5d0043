//! The load tools themselves, where they are installed: what they print today is what we read.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use aegisbpf_rig::load_tool::{self, Wanted, Yield};

/// Runs the user's command for a second, as a block does. `None` where the tool is not installed.
fn run(command: &str, rate: Option<f64>) -> Option<Yield> {
    let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
    let tool = load_tool::of(&words).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        window: Duration::from_secs(1),
        rate,
        seed: 7,
        scratch: scratch.path(),
    };
    let command = tool.command(&words, &wanted).unwrap();
    let Ok(done) = Command::new(&command[0]).args(&command[1..]).output() else {
        eprintln!("ignored: no {}", tool.name());
        return None;
    };
    assert!(done.status.success(), "{done:?}");
    let found = tool.read(&String::from_utf8_lossy(&done.stdout), &wanted);
    Some(found.unwrap())
}

/// Answers every request of a connection; whoever asks for `/gone` is told that it is not there.
fn serve(stream: TcpStream) {
    let mut to = stream.try_clone().unwrap();
    let mut status = "200 OK";
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with("GET /gone ") {
            status = "404 Not Found";
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        if line.is_empty() && to.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    format!("http://{address}")
}

#[test]
fn wrk_tells_its_requests_its_histogram_and_its_errors() {
    let address = server();
    let Some(found) = run(&format!("wrk -t1 -c2 -d 60s {address}/"), None) else {
        return;
    };
    let latency = found.latency.unwrap();
    assert!(found.operations > 0 && found.errors.is_empty());
    // wrk adds what a slow answer kept it from asking meanwhile.
    assert!(latency.len() >= found.operations, "{}", latency.len());
    assert!(found.wall.unwrap() >= Duration::from_secs(1));

    let gone = run(&format!("wrk -t1 -c2 {address}/gone"), None).unwrap();
    assert_eq!(gone.operations, 0);
    assert!(gone.errors["http status"] > 0);
}

#[test]
fn sysbench_tells_its_events_its_time_and_its_histogram() {
    let command = "sysbench cpu --cpu-max-prime=200 --threads=1 --time=60 run";
    for rate in [None, Some(50.0)] {
        let Some(found) = run(command, rate) else {
            return;
        };
        assert!(found.operations > 0 && found.errors.is_empty());
        assert_eq!(found.latency.unwrap().len(), found.operations);
        assert!(found.wall.unwrap() >= Duration::from_millis(900));
    }
}

#[test]
fn oha_tells_its_answers_its_percentiles_and_its_errors() {
    let address = server();
    for rate in [None, Some(200.0)] {
        let Some(found) = run(&format!("oha -c 2 -n 9 {address}/"), rate) else {
            return;
        };
        assert!(found.operations > 0 && found.errors.is_empty(), "{found:?}");
        assert_eq!(found.latency.unwrap().len(), found.operations);
        assert!(found.wall.unwrap() >= Duration::from_millis(900));
    }
    let gone = run(&format!("oha -c 2 {address}/gone"), None).unwrap();
    assert_eq!(gone.operations, 0);
    assert!(gone.errors["http 404"] > 0);
}

/// What oha 1.15.0 printed here, without its histograms.
const OHA_1_15: [&str; 3] = [
    include_str!("oha-1.15.0/rate.json"),
    include_str!("oha-1.15.0/closed.json"),
    include_str!("oha-1.15.0/refused.json"),
];

#[test]
fn what_oha_1_15_printed_is_read_as_it_was_meant() {
    let tool = load_tool::of(&["oha".into()]).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let wanted = Wanted {
        window: Duration::from_secs(2),
        rate: Some(500.0),
        seed: 7,
        scratch: scratch.path(),
    };
    let [rate, closed, refused] = OHA_1_15.map(|printed| tool.read(printed, &wanted).unwrap());

    // Two of three requests were for a page that is there; latency from the intended time.
    assert_eq!(rate.operations, 661);
    assert_eq!(rate.errors, [("http 404".to_owned(), 339)].into());
    assert_eq!(rate.wall.unwrap(), Duration::from_nanos(2_001_493_378));

    // What was under way when the second was over is no error.
    assert_eq!(closed.operations, 27_836);
    assert!(closed.errors.is_empty(), "{:?}", closed.errors);
    assert_eq!(closed.wall.unwrap(), Duration::from_nanos(1_004_475_757));
    for (found, expected) in [
        (&rate, [114_650, 181_098, 306_855]),
        (&closed, [104_375, 189_411, 347_045]),
    ] {
        let latency = found.latency.as_ref().unwrap();
        assert_eq!(latency.len(), found.operations);
        for (q, nanos) in [0.5, 0.95, 0.99].into_iter().zip(expected) {
            let told = latency.value_at_quantile(q);
            // Three significant digits.
            assert!(told.abs_diff(nanos) * 1_000 <= nanos, "{q}: {told} {nanos}");
        }
    }

    assert_eq!((refused.operations, refused.latency.is_none()), (0, true));
    assert_eq!(
        refused.errors,
        [("Connection refused (os error 111)".to_owned(), 21_213)].into()
    );
}
