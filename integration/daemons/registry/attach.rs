//! Documents attached to an image, in registries with and without the referrers API.

use std::collections::BTreeMap;

use super::own::Own;
use super::{client, reference, silent};
use crate::support::engines::Engines;
use crate::support::layouts::{fresh_seed, image};

const RUN: &str = "application/vnd.mlbuild.run.v1+json";
const LOCK: &str = "application/vnd.mlbuild.lock.v1+json";

#[tokio::test]
async fn documents_are_attached_once_and_read_back() {
    attach_and_read(&Engines::from_env().registry).await;
}

#[tokio::test]
async fn a_registry_with_referrers_gets_no_fallback_tag() {
    let own = Own::newest();
    let subject = attach_and_read(&own.host).await;
    let tag = subject.replace(':', "-");
    let tagged = reference(&own.host, &format!("attached:{tag}"));
    assert_eq!(client().head(&tagged).await.unwrap(), None);
}

/// Returns the digest that documents were attached to.
async fn attach_and_read(host: &str) -> String {
    let registry = client();
    let to = reference(host, "attached:v1");
    let made = image(fresh_seed(), &[10]);
    let published = registry
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    let subject = &published.descriptor;
    assert_eq!(registry.referrers(&to, &made.top, None).await.unwrap(), []);

    let notes = BTreeMap::from([("org.mlbuild.run".to_owned(), "exp-7".to_owned())]);
    let run = registry
        .attach(&to, subject, RUN, b"{\"run\":1}", &notes)
        .await
        .unwrap();
    let again = registry
        .attach(&to, subject, RUN, b"{\"run\":1}", &notes)
        .await
        .unwrap();
    assert_eq!(run.digest(), again.digest());
    let lock = registry
        .attach(&to, subject, LOCK, b"{}", &BTreeMap::new())
        .await
        .unwrap();

    let all = registry.referrers(&to, &made.top, None).await.unwrap();
    assert_eq!(all.len(), 2);
    let runs = registry.referrers(&to, &made.top, Some(RUN)).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (runs[0].descriptor.digest(), &runs[0].annotations),
        (run.digest(), &notes)
    );
    let text = registry
        .pull_attached(&to, &runs[0].descriptor)
        .await
        .unwrap();
    assert_eq!(text, b"{\"run\":1}");
    let text = registry.pull_attached(&to, &lock).await.unwrap();
    assert_eq!(text, b"{}");
    assert!(
        registry.exists(&to, &made.top).await.unwrap(),
        "the image itself is as it was"
    );
    made.top.to_string()
}

#[tokio::test]
async fn many_at_once_are_all_kept() {
    let host = Engines::from_env().registry;
    let to = reference(&host, "attached-at-once:v1");
    let made = image(fresh_seed(), &[10]);
    let published = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let (registry, to, subject) = (client(), to.clone(), published.descriptor.clone());
            tokio::spawn(async move {
                let text = format!("{{\"run\":{n}}}");
                registry
                    .attach(&to, &subject, RUN, text.as_bytes(), &BTreeMap::new())
                    .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(
        client()
            .referrers(&to, &made.top, Some(RUN))
            .await
            .unwrap()
            .len(),
        4
    );
}
