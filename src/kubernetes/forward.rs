//! A connection to a port of a pod, through the API server (`pods/portforward`, `v4.channel.k8s.io`).
//!
//! That protocol has no word for a connection whose one side has ended: the pod's program isn't told that no more
//! comes, and has some time to answer what came before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split};
use tokio::time::timeout;

use super::{Cluster, KubernetesError};

/// How long a program may be silent, at least, before a connection is over whose side here has ended.
const LINGER: Duration = Duration::from_secs(30);

/// How long the cluster's last word is waited for.
const LAST_WORD: Duration = Duration::from_secs(2);

impl Cluster {
    /// Carries a connection to a port of a pod, until the program there ends it, or the side here has and the
    /// program is silent.
    ///
    /// # Errors
    /// Where the cluster refuses, or nothing in the pod takes it.
    pub async fn carry<S>(&self, pod: &str, port: u16, here: S) -> Result<(), KubernetesError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let doing = format!("create pods/portforward in the Pod {pod}");
        let forwarder = self.api::<Pod>().portforward(pod, &[port]).await;
        let mut forwarder = forwarder.map_err(|error| self.error(&doing, error))?;
        let (Some(there), Some(refused)) =
            (forwarder.take_stream(port), forwarder.take_error(port))
        else {
            return Ok(());
        };
        let carried = both_ways(here, there);
        tokio::pin!(carried, refused);
        let why = tokio::select! {
            why = &mut refused => {
                if why.is_none() {
                    // All was said: what is on its way still comes.
                    carried.await;
                }
                why
            }
            // Why the pod's side has ended came before its end.
            () = &mut carried => timeout(LAST_WORD, refused).await.ok().flatten(),
        };
        forwarder.abort();
        match why {
            None => Ok(()),
            Some(why) => Err(KubernetesError::Failed {
                url: self.url.clone(),
                doing: format!("reach port {port} of the Pod {pod}"),
                why: why.trim().to_owned(),
            }),
        }
    }
}

/// Hands on what comes from either side. Whichever side fails has ended: that is how connections end.
async fn both_ways(
    here: impl AsyncRead + AsyncWrite + Unpin,
    there: impl AsyncRead + AsyncWrite + Unpin,
) {
    let (mut from_here, mut to_here) = split(here);
    let (mut from_there, mut to_there) = split(there);
    let has_ended = AtomicBool::new(false);
    let sends = async {
        let _ = copy(&mut from_here, &mut to_there).await;
        has_ended.store(true, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let answers = async {
        let mut bytes = vec![0; 16 << 10];
        loop {
            match timeout(LINGER, from_there.read(&mut bytes)).await {
                Ok(Ok(count @ 1..)) => {
                    if to_here.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
                Ok(_) => break,
                Err(_) if has_ended.load(Ordering::Relaxed) => break,
                Err(_) => {}
            }
        }
        let _ = to_here.shutdown().await;
    };
    tokio::select! {
        () = sends => {}
        () = answers => {}
    }
}
