//! The load generator against servers that misbehave in known ways.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, Load, Sample};
use workload_tests::load::{Generator, Page, Target};

const BODY: &[u8] = b"the right body";

/// Serves every connection with `answer`, which gets the number of the request and writes the reply.
fn serve(answer: impl Fn(u64, &mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    let requests = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, requests) = (answer.clone(), requests.clone());
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line.is_empty() {
                        answer(requests.fetch_add(1, Ordering::Relaxed), &mut stream);
                    }
                }
            });
        }
    });
    address
}

fn reply(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let mut reply = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    reply.extend_from_slice(body);
    // The generator may be gone by now.
    let _ = stream.write_all(&reply);
}

fn block(load: Load) -> Block {
    Block {
        seed: 1,
        settle: Duration::from_millis(100),
        window: Duration::from_secs(1),
        load,
    }
}

#[track_caller]
fn run(address: SocketAddr, connections: usize, load: Load) -> Sample {
    let target = Target {
        address,
        pages: vec![Page::new("/", BODY.to_vec())],
    };
    let mut generator = Generator::connect(target, connections).unwrap();
    generator
        .run(&block(load), &mut || Ok(Duration::ZERO))
        .unwrap()
}

fn p99(sample: &Sample) -> u64 {
    sample.latency.as_ref().unwrap().value_at_quantile(0.99)
}

/// A server that answers at once, but stands still once for a fifth of the window.
fn stalling() -> SocketAddr {
    let stalled = AtomicBool::new(false);
    let start = Instant::now();
    serve(move |_, stream| {
        if start.elapsed() > Duration::from_millis(500) && !stalled.swap(true, Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(200));
        }
        reply(stream, "200 OK", BODY);
    })
}

#[test]
fn a_stall_shows_in_open_loop_p99_and_hides_from_a_closed_loop() {
    let open = run(stalling(), 1, Load::Open { rate: 500.0 });
    let closed = run(stalling(), 1, Load::Closed);
    assert_eq!(open.operations, 500);
    assert!(closed.operations > 500, "{}", closed.operations);
    assert!(
        p99(&open) > 10 * p99(&closed),
        "open {} ns, closed {} ns",
        p99(&open),
        p99(&closed)
    );
}

#[test]
fn a_stall_of_the_server_is_not_booked_as_lag_of_the_generator() {
    let open = run(stalling(), 1, Load::Open { rate: 500.0 });
    let lag = u64::try_from(open.lag_p99.unwrap().as_nanos()).unwrap();
    assert!(
        p99(&open) > 10 * lag,
        "latency {} ns, lag {lag} ns",
        p99(&open)
    );
}

#[test]
fn the_offered_rate_is_the_planned_one() {
    let sample = run(
        serve(|_, stream| reply(stream, "200 OK", BODY)),
        4,
        Load::Open { rate: 2_000.0 },
    );
    assert_eq!(sample.operations, 2_000);
    assert_eq!(sample.latency.unwrap().len(), 2_000);
    assert!(sample.errors.is_empty(), "{:?}", sample.errors);
    assert!(sample.generator_cpu > Duration::ZERO);
}

#[test]
fn a_wrong_body_counts_as_an_error_and_not_as_an_operation() {
    let address = serve(|number, stream| {
        let body: &[u8] = if number % 10 == 0 {
            b"the wrong body"
        } else {
            BODY
        };
        reply(stream, "200 OK", body);
    });
    let sample = run(address, 2, Load::Open { rate: 1_000.0 });
    assert_eq!(sample.operations, 900);
    assert_eq!(
        sample.errors.into_iter().collect::<Vec<_>>(),
        [("wrong body".to_owned(), 100)]
    );
}

#[test]
fn errors_are_told_apart_by_class() {
    let address = serve(|number, stream| match number % 4 {
        0 => reply(stream, "403 Forbidden", BODY),
        1 => reply(stream, "500 Broken", BODY),
        2 => drop(stream.shutdown(std::net::Shutdown::Both)),
        _ => reply(stream, "200 OK", BODY),
    });
    let sample = run(address, 1, Load::Open { rate: 400.0 });
    assert_eq!(sample.operations, 100);
    let errors: Vec<(&str, u64)> = sample
        .errors
        .iter()
        .map(|(class, &count)| (class.as_str(), count))
        .collect();
    assert_eq!(
        errors,
        [
            ("connection closed", 100),
            ("http 403", 100),
            ("http 500", 100)
        ]
    );
}

#[test]
fn a_server_that_is_gone_ends_the_run_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let target = Target {
        address,
        pages: vec![Page::new("/", BODY.to_vec())],
    };
    let mut generator = Generator::connect(target, 1).unwrap();
    drop(listener);
    let error = generator
        .run(&block(Load::Closed), &mut || Ok(Duration::ZERO))
        .unwrap_err()
        .to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
