//! Events for `aegisbpf events`: the ring buffer has one reader, which is this process, so others hear them from here.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use aegisbpf_core::JsonLines;
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::Uid,
};

use crate::{
    exit::Failure,
    feed::{END_OF_RECENT, Told, address},
};

/// Events kept for whoever asks what happened lately.
const RECENT: usize = 256;
/// Lines that a listener may be behind before some are left out.
const BEHIND: usize = 4096;
/// Listeners at once.
const LISTENERS: usize = 16;
/// A listener that takes nothing for so long has gone.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Feed(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    recent: VecDeque<Told>,
    listeners: Vec<SyncSender<Arc<[u8]>>>,
    json: JsonLines,
}

impl Feed {
    /// Takes listeners from now on, and until this process ends.
    pub(super) fn open(pin_dir: &Path) -> Result<Self, Failure> {
        let attempt = |e: io::Error| Failure::said(format!("offering the events to others: {e}"));
        let socket = address(pin_dir)
            .and_then(|address| UnixListener::bind_addr(&address))
            .map_err(attempt)?;
        let feed = Self(Arc::default());
        let host = feed.clone();
        thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                for listener in socket.incoming() {
                    match listener {
                        Ok(listener) => host.welcome(listener),
                        // Out of descriptors, say: later there may be some.
                        Err(_) => thread::sleep(Duration::from_secs(1)),
                    }
                }
            })
            .map_err(attempt)?;
        Ok(feed)
    }

    pub(super) fn tell(&self, told: Told) -> io::Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        if !state.listeners.is_empty() {
            let line: Arc<[u8]> = told.line(&mut state.json)?.into();
            // Who is too far behind misses this one: the reader of the ring buffer waits for nobody.
            state.listeners.retain(|listener| {
                !matches!(
                    listener.try_send(Arc::clone(&line)),
                    Err(std::sync::mpsc::TrySendError::Disconnected(_))
                )
            });
        }
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back(told);
        Ok(())
    }

    /// Root reads what root's enforcer saw, nobody else.
    fn welcome(&self, stream: UnixStream) {
        let trusted = getsockopt(&stream, PeerCredentials).is_ok_and(|peer| {
            [Uid::effective(), Uid::from_raw(0)].contains(&Uid::from_raw(peer.uid()))
        });
        if !trusted || stream.set_write_timeout(Some(PATIENCE)).is_err() {
            return;
        }
        let mut state = self.state();
        if state.listeners.len() == LISTENERS {
            return;
        }
        let State { recent, json, .. } = &mut *state;
        let mut recent: Vec<u8> = recent
            .iter()
            .filter_map(|told| told.line(json).ok())
            .flatten()
            .collect();
        recent.push(END_OF_RECENT);
        let (sender, lines) = sync_channel(BEHIND);
        let talk = move || drop(speak(stream, &recent, &lines));
        if thread::Builder::new()
            .name("feed-listener".to_owned())
            .spawn(talk)
            .is_ok()
        {
            state.listeners.push(sender);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock only says that another thread panicked between two whole values.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn speak(mut stream: UnixStream, recent: &[u8], lines: &Receiver<Arc<[u8]>>) -> io::Result<()> {
    stream.write_all(recent)?;
    for line in lines {
        stream.write_all(&line)?;
    }
    Ok(())
}
