//! Reading a large blob as it comes. What was cut off goes on where it stopped.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use mlbuild_waits::Flow;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;
use reqwest::header::CONTENT_RANGE;
use reqwest::{Method, Response, StatusCode};
use tokio::runtime::Handle;

use super::Registry;
use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::pull::missing_blob;
use super::retry::next_piece;
use super::scope::scope_of;

/// A blob of a registry, read from its start by a thread that may wait. Nothing of it is
/// checked: that is the reader's business, who knows the digest.
pub struct BlobStream {
    registry: Registry,
    endpoint: Arc<Endpoint>,
    reference: Reference,
    blob: Descriptor,
    runtime: Handle,
    answer: Option<Response>,
    flow: Flow,
    piece: Bytes,
    /// Bytes received so far.
    at: u64,
    /// Tries in a row that brought nothing.
    tried: u32,
}

impl Registry {
    /// Reads a blob of an image. Mirrors are asked first. Call it, and read, outside of the
    /// runtime's own threads.
    ///
    /// # Errors
    /// Where no server has it, or none answers.
    pub fn open_blob(
        &self,
        reference: &Reference,
        blob: &Descriptor,
        runtime: &Handle,
    ) -> Result<BlobStream, RegistryError> {
        let mut endpoints = self.mirrors(reference.registry());
        endpoints.push(self.endpoint(reference.registry()));
        let mut last = None;
        for endpoint in endpoints {
            let mut stream = BlobStream {
                registry: self.clone(),
                flow: Flow::from(endpoint.peer()),
                endpoint,
                reference: reference.clone(),
                blob: blob.clone(),
                runtime: runtime.clone(),
                answer: None,
                piece: Bytes::new(),
                at: 0,
                tried: 0,
            };
            match runtime.block_on(stream.ask()) {
                Ok(answer) => {
                    stream.answer = Some(answer);
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("the registry itself was asked"))
    }
}

impl BlobStream {
    /// Asks for what is missing.
    async fn ask(&mut self) -> Result<Response, RegistryError> {
        let scope = scope_of(&self.reference, false);
        let (repository, digest) = (self.reference.repository(), self.blob.digest());
        let what = format!("pulling {digest} of {repository}");
        let range = format!("bytes={}-", self.at);
        let call = Call {
            method: Method::GET,
            target: Target::Path(format!("{repository}/blobs/{digest}")),
            headers: match self.at {
                0 => Vec::new(),
                _ => vec![("range", range)],
            },
            body: CallBody::Empty,
            scope: &scope,
            what: &what,
        };
        let mut answer = self.registry.send(&self.endpoint, &call).await?;
        if !answer.status().is_success() {
            let refused = self.registry.refused(&self.endpoint, &call, answer).await;
            return Err(missing_blob(refused, &self.reference, &self.blob));
        }
        let is_part = answer.status() == StatusCode::PARTIAL_CONTENT
            && answer.headers().contains_key(CONTENT_RANGE);
        if !is_part {
            // A registry that can't give a part gives all: what is known is passed over.
            let mut skip = self.at;
            while skip > 0 {
                let piece = next_piece(&mut self.flow, &mut answer).await;
                let piece = piece.map_err(|failure| failure.given_up(&self.endpoint, &what, 1))?;
                let Some(mut piece) = piece else { break };
                let known = skip.min(piece.len() as u64);
                piece.advance(known as usize);
                skip -= known;
                self.piece = piece;
            }
        }
        Ok(answer)
    }

    /// The next piece; empty at the end.
    async fn next(&mut self) -> Result<Bytes, RegistryError> {
        loop {
            let answer = match &mut self.answer {
                Some(answer) => answer,
                None => {
                    let answer = self.ask().await?;
                    let rest = std::mem::take(&mut self.piece);
                    self.answer = Some(answer);
                    if !rest.is_empty() {
                        return Ok(rest);
                    }
                    continue;
                }
            };
            let failure = match next_piece(&mut self.flow, answer).await {
                Ok(Some(piece)) if piece.is_empty() => continue,
                Ok(Some(piece)) => {
                    self.tried = 0;
                    return Ok(piece);
                }
                Ok(None) => return Ok(Bytes::new()),
                Err(failure) => failure,
            };
            self.tried += 1;
            self.answer = None;
            let retry = self.registry.options.retry;
            if !failure.is_worth_a_try(&self.endpoint, self.tried, retry.attempts) {
                let what = format!("pulling {}", self.blob.digest());
                return Err(failure.given_up(&self.endpoint, &what, self.tried));
            }
            tokio::time::sleep(retry.wait(self.tried)).await;
        }
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let runtime = self.runtime.clone();
            let piece = runtime.block_on(self.next()).map_err(io::Error::other)?;
            self.at += piece.len() as u64;
            self.piece = piece;
        }
        let n = self.piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.piece[..n]);
        self.piece.advance(n);
        Ok(n)
    }
}
