//! How long answers of a cluster are waited for: their heads, and the bodies of those that end by themselves.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use kube::client::Body as RequestBody;
use mlbuild_waits::Flow;
use tower::{BoxError, Layer, Service};

type Answer = http::Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Puts the limit around a client.
#[derive(Debug, Clone)]
pub struct LimitLayer {
    /// Who is waited for, as in "the cluster https://10.0.0.1:6443".
    pub peer: String,
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            inner,
            peer: self.peer.clone(),
        }
    }
}

/// A client whose answers come within the limit, or are errors that name the cluster.
#[derive(Debug, Clone)]
pub struct Limited<S> {
    inner: S,
    peer: String,
}

impl<S, B> Service<http::Request<RequestBody>> for Limited<S>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<B>>,
    S::Error: Into<BoxError> + Send,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<RequestBody>) -> Self::Future {
        let is_endless = is_endless(request.uri());
        let peer = self.peer.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = mlbuild_waits::answer(peer.as_str(), answer).await?;
            let answer = answer.map_err(Into::into)?;
            Ok(answer.map(|body| {
                if is_endless {
                    body.map_err(Into::into).boxed_unsync()
                } else {
                    within_limit(body, peer)
                }
            }))
        })
    }
}

/// Whether an answer says nothing for as long as nothing happens: a watch, or a log that is followed.
fn is_endless(uri: &http::Uri) -> bool {
    let mut words = uri.query().unwrap_or_default().split('&');
    words.any(|word| matches!(word, "watch=true" | "follow=true"))
}

/// A body whose pieces come within the limit.
fn within_limit<B>(body: B, peer: String) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let all = (Box::pin(body), Flow::from(peer));
    let pieces = futures::stream::try_unfold(all, async |(mut body, mut flow)| {
        let piece = flow.next(body.frame(), size).await?;
        let frame = piece.transpose().map_err(Into::into)?;
        Ok(frame.map(|frame| (frame, (body, flow))))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn size<E>(piece: &Option<Result<Frame<Bytes>, E>>) -> usize {
    let frame = piece.as_ref().and_then(|piece| piece.as_ref().ok());
    frame.and_then(Frame::data_ref).map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::is_endless;

    #[test]
    fn watches_and_followed_logs_may_say_nothing() {
        for (uri, expected) in [
            (
                "/api/v1/namespaces/a/pods?&watch=true&timeoutSeconds=60",
                true,
            ),
            (
                "/api/v1/namespaces/a/pods/p/log?&follow=true&timestamps=true",
                true,
            ),
            ("/api/v1/namespaces/a/pods/p/log?&timestamps=true", false),
            ("/api/v1/namespaces/watch=true/pods", false),
            (
                "/api/v1/namespaces/a/pods?labelSelector=watch%3Dtrue",
                false,
            ),
        ] {
            assert_eq!(is_endless(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
