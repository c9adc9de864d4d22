//! `mlbuild diff` of images that real builders made, in real registries and archives.

use std::process::Command;

use serde_json::Value;

use crate::adopt::Shop;
use crate::image::unique;
use crate::support::mlbuild::Ran;

fn diff(shop: &Shop, first: &str, second: &str) -> Ran {
    shop.project
        .run(["diff", first, second, "--format", "json"])
}

fn platform(ran: &Ran) -> Value {
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    json["platforms"]["linux/amd64"].clone()
}

#[test]
fn an_edit_of_the_code_is_found_in_its_step() {
    let shop = Shop::new();
    let tag = |name| unique(&shop.engines.registry, name);
    let (first, second) = (tag("diff-first"), tag("diff-second"));
    shop.build(&first, &["--uid", "1000"]);
    shop.project.write("train.py", "print('better')\n");
    shop.build(&second, &["--uid", "1000", "-e", "A=1"]);

    let ran = diff(&shop, &first, &second);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let found = platform(&ran);
    let set = |field: &str| {
        let all = found["config"].as_array().unwrap().iter();
        all.clone()
            .find(|setting| setting["field"] == field)
            .cloned()
    };
    assert_eq!(set("config.Env.A").unwrap()["second"], "1");
    let layers = found["layers"].as_array().unwrap();
    let code = layers.iter().find(|layer| {
        let step = layer["first"][0]["step"].as_str().unwrap();
        step.starts_with("COPY . /app/")
    });
    let files = code.unwrap()["files"].as_array().unwrap();
    let file = files.iter().find(|f| f["path"] == "/app/train.py").unwrap();
    let lines = file["lines"].as_str().unwrap();
    assert!(
        lines.contains("-print('trained')\n+print('better')"),
        "{lines}"
    );
    assert_eq!(found["packages"], serde_json::json!([]));

    let same = diff(&shop, &first, &first).json();
    assert_eq!(same["same"], true);
}

#[test]
fn an_adopted_image_differs_from_a_built_one_in_times_alone() {
    let shop = Shop::new();
    let tag = |name| unique(&shop.engines.registry, name);
    let (first, second) = (tag("diff-adopted"), tag("diff-built"));
    shop.build(&first, &["--uid", "1000", "--user", "vorph"]);
    shop.build(&second, &["--uid", "2000", "--user", "me"]);
    shop.adopt(&first, &["--uid", "2000", "--name", "me"])
        .answer();
    let ran = diff(&shop, &format!("{first}-uid2000"), &second);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let found = platform(&ran);
    for setting in found["config"].as_array().unwrap() {
        let field = setting["field"].as_str().unwrap();
        let is_told = field.ends_with("comment") || field.ends_with("created");
        assert!(is_told, "{setting}");
    }
    for layer in found["layers"].as_array().unwrap() {
        let counts = layer["counts"].as_object().unwrap();
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["mtime"], "{layer}");
    }
}

#[test]
fn what_docker_saves_is_the_image_that_it_pulled() {
    let shop = Shop::new();
    let tag = unique(&shop.engines.registry, "diff-saved");
    shop.build(&tag, &["--uid", "1000"]);
    for (name, endpoint) in shop.engines.dockers() {
        let file = shop.project.path("saved.tar");
        let file = file.to_str().unwrap();
        for args in [&["pull", "-q", &tag][..], &["save", "-o", file, &tag]] {
            let mut docker = Command::new(shop.engines.bin.join("docker"));
            docker
                .env("DOCKER_HOST", endpoint)
                .env("DOCKER_CONFIG", &shop.engines.docker_config)
                .args(args);
            Ran::of(&mut docker).answer();
        }
        let ran = diff(&shop, file, &tag);
        let found = platform(&ran);
        for layer in found["layers"].as_array().unwrap() {
            assert_eq!(layer["repacked"], true, "{name}: {layer}");
        }
        for setting in found["config"].as_array().unwrap() {
            let field = setting["field"].as_str().unwrap();
            assert!(field.starts_with("manifest."), "{name}: {setting}");
        }
    }
}
