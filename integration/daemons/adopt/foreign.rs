//! Images that mlbuild's templates didn't make, and images that must not be given away.

use super::{Pushed, Shop, has_whiteout};
use crate::image::unique;

/// Builds a Dockerfile of one's own on the plain base, and pushes it.
fn own(shop: &Shop, name: &str, dockerfile: &str) -> String {
    let tag = unique(&shop.engines.registry, name);
    let text = format!("FROM {}\n{dockerfile}", shop.engines.base);
    shop.project.write("Dockerfile", &text);
    let builder = shop.engines.buildkitd.clone();
    let args = [
        "image",
        "--builder",
        &builder,
        "-f",
        "Dockerfile",
        "--push",
        "-t",
        &tag,
    ];
    shop.project.run(args).answer();
    tag
}

#[test]
fn a_user_made_by_the_last_step_is_given_away_with_a_warning() {
    let shop = Shop::new();
    let tag = own(
        &shop,
        "adopt-useradd",
        "RUN touch /etc/gone /opt/ours && chown 1000 /opt/ours\n\
         RUN useradd -m -u 1000 -s /bin/bash ml && rm /etc/gone && echo hi > /home/ml/a \
         && ln /home/ml/a /home/ml/b && chown ml:ml /home/ml/a\n\
         ENV HOME_OF_ML=/home/ml\nUSER 1000:1000\n",
    );
    let ran = shop.adopt(&tag, &["--uid", "1234", "--gid", "20", "--name", "me"]);
    let said = "id -un; id -u; id -g; stat -c %u:%g ~ ~/a ~/b /opt/ours; cat ~/b; \
        test ! -e /etc/gone; echo $HOME";
    assert_eq!(
        shop.sh(ran.answer(), said),
        "me\n1234\n20\n1234:20\n1234:20\n1234:20\n1000:0\nhi\n/home/ml"
    );
    assert!(
        ran.stderr
            .contains("what its other layers have of uid 1000 stays that user's"),
        "{}",
        ran.stderr
    );
    let pushed = Pushed::get(ran.answer());
    assert_eq!(pushed.config["config"]["User"], "1234:20");
    assert!(has_whiteout(&pushed), "what the layer hides stays hidden");
}

#[test]
fn what_is_not_safe_is_refused() {
    let shop = Shop::new();
    let refusal = |image: &str, more: &[&str]| {
        let ran = shop.adopt(image, &[&["--uid", "2000"], more].concat());
        let text = shop.project.filtered(ran.refusal(2));
        let id = regex::Regex::new("-[0-9a-z]{26}:").unwrap();
        id.replace_all(&text, "-[ID]:").into_owned()
    };
    let user = "useradd -m -u 1000 ml";
    let root = own(&shop, "adopt-root", "RUN touch /x\n");
    let earlier = own(
        &shop,
        "adopt-earlier",
        &format!("RUN {user}\nRUN touch /x\nUSER ml\n"),
    );
    let home = own(
        &shop,
        "adopt-home",
        &format!("RUN {user}\nRUN useradd -M -u 77 other\nUSER ml\n"),
    );
    let large = own(
        &shop,
        "adopt-large",
        &format!("RUN {user} && head -c 40000000 /dev/urandom > /large\nUSER ml\n"),
    );
    insta::assert_snapshot!(refusal(&root, &[]), @r"
    error: [REGISTRY]/e2e/adopt-root-[ID]:v1 (linux/amd64): it runs as root: nothing in it belongs to another user
      hint: build it for these ids: mlbuild image --uid N --gid M
    ");
    insta::assert_snapshot!(refusal(&earlier, &[]), @r"
    error: [REGISTRY]/e2e/adopt-earlier-[ID]:v1 (linux/amd64): its last layer has no /etc/passwd: the user was made in another layer
      hint: build it for these ids: mlbuild image --uid N --gid M
    ");
    insta::assert_snapshot!(refusal(&home, &[]), @r"
    error: [REGISTRY]/e2e/adopt-home-[ID]:v1 (linux/amd64): the home folder /home/ml of its user isn't in the last layer: it would still belong to uid 1000
      hint: build it for these ids: mlbuild image --uid N --gid M
    ");
    insta::assert_snapshot!(refusal(&large, &[]), @r"
    error: [REGISTRY]/e2e/adopt-large-[ID]:v1 (linux/amd64): its last layer has 38 MB, and what belongs to one user has at most 32: it isn't an image whose last layer is the user's own
      hint: build it for these ids: mlbuild image --uid N --gid M
    ");
    insta::assert_snapshot!(refusal(&earlier, &["-t", "other.example/app:v1"]), @r"
    error: -t other.example/app:v1: the layers of [REGISTRY]/e2e/adopt-earlier-[ID]:v1 are in [REGISTRY], and adopt moves none
      hint: adopt it in [REGISTRY], then copy the image to other.example
    ");
    insta::assert_snapshot!(refusal(&earlier, &["--name", "root"]), @r"
    error: --name root: root is there already
      hint: to run as root, no other image is needed: docker run --user 0
    ");
    insta::assert_snapshot!(refusal(&earlier, &["--gid", "-1"]), @r#"error: --gid -1: gid "-1" is negative; give a whole number from 0 to 4294967294, such as the output of `id -u`"#);
    let nowhere = unique(&shop.engines.registry, "adopt-nowhere");
    insta::assert_snapshot!(refusal(&nowhere, &[]), @"error: [REGISTRY]/e2e/adopt-nowhere-[ID]:v1 isn't in the registry");
}

#[test]
fn a_home_that_the_base_brought_along_is_seen() {
    let shop = Shop::new();
    let tag = unique(&shop.engines.registry, "adopt-ubuntu");
    let base = shop.engines.ubuntu_base.clone();
    shop.build_on(&base, &tag, &["--user", "ubuntu", "--uid", "4000"]);
    let ran = shop.adopt(&tag, &["--uid", "2000"]);
    let said = shop.sh(ran.answer(), "id -un; find ~ ! -uid 2000; stat -c %u ~");
    assert_eq!(
        said, "ubuntu\n2000",
        "all of it was taken over by the build"
    );
}
