//! Cut lines: what was sent isn't sent again where the registry kept it.

use mlbuild::registry::{Registry, RegistryError, RegistryOptions};

use super::cable::Cable;
use super::own::Own;
use super::{Heard, client, options, reference, silent};
use crate::support::engines::Engines;
use crate::support::layouts::{fresh_seed, image};

const MIB: usize = 1 << 20;

fn in_pieces_of(chunk: usize) -> Registry {
    Registry::new(RegistryOptions {
        chunk: chunk as u64,
        parallel: 1,
        ..options()
    })
}

#[tokio::test]
async fn a_cut_upload_goes_on_in_pieces_and_from_where_it_was() {
    let host = Engines::from_env().registry;
    let made = image(fresh_seed(), &[64 * MIB + 5]);
    // The whole is cut in its midst; later the fourth piece is, before it starts.
    let (mut cut_whole, mut cut_piece) = (false, false);
    let cable = Cable::to(
        &host,
        Box::new(move |request| {
            let whole = request.method == "PUT" && request.passed > 20 * MIB && !cut_whole;
            let from_24 = format!("{}-", 24 * MIB);
            let piece = request.method == "PATCH"
                && request
                    .range
                    .as_ref()
                    .is_some_and(|r| r.starts_with(&from_24))
                && !cut_piece;
            cut_whole |= whole;
            cut_piece |= piece;
            whole || piece
        }),
    )
    .await;

    let heard = Heard::default();
    let to = reference(&cable.host, "cut:v1");
    let registry = in_pieces_of(8 * MIB);
    let published = registry
        .push_layout(&made.layout, &to, &[], heard.listener())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);
    assert_eq!(heard.retries(), 2);

    let starts: Vec<usize> = cable
        .requests()
        .iter()
        .filter(|r| r.method == "PATCH")
        .filter_map(|r| r.range.as_ref()?.split('-').next()?.parse().ok())
        .collect();
    let expected = [0, 8, 16, 24, 24, 32, 40, 48, 56].map(|n| n * MIB);
    assert_eq!(
        starts, expected,
        "the pieces before the cut aren't sent again"
    );
    assert!(
        client()
            .exists(&reference(&host, "cut:v1"), &made.top)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn where_the_registry_keeps_every_byte_none_is_sent_twice() {
    // What a busy machine's registry hasn't read when the line is cut is lost with it: by chance, not each time.
    let mut passed = Vec::new();
    for _ in 0..3 {
        passed.push(bytes_of_a_push_that_is_cut().await);
        if passed.last() < Some(&(34 * MIB)) {
            return;
        }
    }
    panic!("{passed:?} bytes for 32 MiB");
}

/// Pushes 32 MiB over a line that is cut three times; gives how many bytes went over it.
async fn bytes_of_a_push_that_is_cut() -> usize {
    let own = Own::newest();
    let made = image(fresh_seed(), &[32 * MIB]);
    let mut cuts = 0;
    let cable = Cable::to(
        &own.host,
        Box::new(move |request| {
            let due = request.passed > 5 * MIB && cuts < 3;
            cuts += usize::from(due);
            due
        }),
    )
    .await;
    let to = reference(&cable.host, "kept:v1");
    let registry = in_pieces_of(8 * MIB);
    let published = registry
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);
    cable.passed()
}

#[tokio::test]
async fn a_line_that_is_cut_now_and_then_costs_time_only() {
    let host = Engines::from_env().registry;
    let made = image(fresh_seed(), &[3 * MIB, 2 * MIB, 100, 200, 300]);
    let mut left = 3;
    let mut count = 0;
    let cable = Cable::to(
        &host,
        Box::new(move |_| {
            count += 1;
            let cut = left > 0 && count % 7 == 0;
            left -= usize::from(cut);
            cut
        }),
    )
    .await;
    let to = reference(&cable.host, "shaky:v1");
    let published = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);
}

#[tokio::test]
async fn a_line_that_is_always_cut_ends_in_one_error() {
    let host = Engines::from_env().registry;
    let made = image(fresh_seed(), &[3 * MIB]);
    let cut = |r: &super::cable::Request| r.method == "PUT" && r.path.contains("/uploads/");
    let cable = Cable::to(&host, Box::new(cut)).await;
    let to = reference(&cable.host, "never:v1");
    let error = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistryError::Interrupted { attempts: 5, .. }),
        "{error}"
    );
    assert_eq!(
        client().head(&reference(&host, "never:v1")).await.unwrap(),
        None
    );
}
