#![allow(dead_code, reason = "each target uses a part of it")]
//! Peers that misbehave. Each listens on a port of its own and ends with the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Between two bytes of a peer that drips.
const DRIP: Duration = Duration::from_millis(500);

/// What a peer does with each connection.
#[derive(Clone)]
pub enum Fault {
    /// Takes it, reads all, and never answers.
    Silence,
    /// Answers these bytes at once, and these a byte per half second, again and again.
    Drip(&'static str, &'static str),
    /// Answers this at once to each request.
    Answer(&'static str),
    /// Passes all on to an address, until it is told to stall: then it holds what comes.
    Stall(String, Arc<AtomicBool>),
}

/// Starts a peer; returns its `host:port`.
pub fn start(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let fault = fault.clone();
            spawn(move || serve(stream, fault));
        }
    });
    address
}

fn serve(mut stream: TcpStream, fault: Fault) {
    match fault {
        Fault::Silence => {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        Fault::Drip(at_once, slowly) => {
            read_request(&mut stream);
            let _ = stream.write_all(at_once.as_bytes());
            for byte in slowly.bytes().cycle() {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                sleep(DRIP);
            }
        }
        Fault::Answer(answer) => {
            while read_request(&mut stream) {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
        Fault::Stall(to, stalls) => {
            let Ok(server) = TcpStream::connect(to) else {
                return;
            };
            let there = (stream.try_clone().unwrap(), server.try_clone().unwrap());
            let other = stalls.clone();
            spawn(move || pass(there.0, there.1, &other));
            pass(server, stream, &stalls);
        }
    }
}

/// Reads up to the end of a request without a body; false where there is none.
fn read_request(stream: &mut TcpStream) -> bool {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => seen.push(byte[0]),
            _ => return false,
        }
    }
    true
}

fn pass(mut from: TcpStream, mut to: TcpStream, stalls: &AtomicBool) {
    let mut piece = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        while stalls.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(50));
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
