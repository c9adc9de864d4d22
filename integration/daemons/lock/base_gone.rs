//! A base image whose registry went away: its copy stands in.

use super::{builder, project, run};
use crate::image::unique;
use crate::registry::cable::Cable;
use crate::support::engines::Engines;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_stands_in_for_a_base_that_is_gone() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    let is_cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cut = is_cut.clone();
    let order = std::sync::atomic::Ordering::SeqCst;
    let upstream = Cable::to(&engines.registry, Box::new(move |_| cut.load(order))).await;
    let (_, path) = engines.base.split_once('/').unwrap();
    let base = format!("{}/{path}", upstream.host);
    let here = project();
    let mirror = unique(&engines.registry, "mirror");
    let (mirror, _) = mirror.rsplit_once(':').unwrap();
    here.write(
        "mlbuild.toml",
        &format!("[registry]\nmirror = \"{mirror}\"\n"),
    );
    here.write("requirements.txt", "");
    let words = |verb: &str, more: &[&str]| {
        let mut words = vec![verb.to_owned()];
        words.extend_from_slice(&builder.flags);
        // The mirror is the project's.
        words.push("--trust".to_owned());
        let tag = unique(&engines.registry, "base-gone");
        // A Dockerfile of one's own: nothing but the base is looked for.
        let image = ["-f", "Dockerfile", "-t", &tag];
        words.extend(image.iter().chain(more).map(|&word| word.to_owned()));
        words
    };
    here.write("Dockerfile", &format!("FROM {base}\nCOPY train.py /\n"));
    let tag = unique(&engines.registry, "base-gone");
    let mut lock = words("lock", &[]);
    let at = lock.iter().position(|word| word == "-t").unwrap() + 1;
    lock[at].clone_from(&tag);
    run(&here, &lock).answer();
    let mut image = words("image", &["--push", "--locked", "--no-skip"]);
    image[at].clone_from(&tag);
    let before = run(&here, &image);
    is_cut.store(true, order);
    let after = run(&here, &image);
    assert_eq!(after.answer(), before.answer());
    assert!(
        after.stderr.contains("is out of reach: its copy"),
        "{}",
        after.stderr
    );
    assert!(
        !before.stderr.contains("is out of reach"),
        "{}",
        before.stderr
    );
}
