//! `mlbuild inspect` of images in real registries and in every Docker.

use std::process::Command;

use serde_json::{Value, json};

use crate::adopt::Shop;
use crate::image::{name_and_tag, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// `mlbuild inspect` on a machine with this Docker.
fn inspect(engines: &Engines, project: &Project, host: &str, args: &[&str]) -> Ran {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = project.command(["inspect"].iter().chain(args));
    command
        .env("PATH", format!("{}:{path}", engines.bin.display()))
        .env("DOCKER_HOST", host);
    Ran::of(&mut command)
}

fn docker(engines: &Engines, host: &str, args: &[&str]) -> String {
    let mut docker = Command::new(engines.bin.join("docker"));
    docker
        .env("DOCKER_HOST", host)
        .env("DOCKER_CONFIG", &engines.docker_config)
        .args(args);
    Ran::of(&mut docker).answer().to_owned()
}

#[test]
fn a_pushed_image_is_told_with_its_lock_its_runs_and_what_it_came_from() {
    let shop = Shop::new();
    let engines = &shop.engines;
    let nowhere = "unix:///nowhere/docker.sock";
    let image = unique(&engines.registry, "inspect");
    let more = ["--uid", "1000", "--label", "team=vision"];
    shop.build(&image, &[&more[..], &["--run-id", "exp-7"]].concat());
    let (name, tag) = name_and_tag(&image);
    let (digest, manifest) = http::manifest(&engines.registry, name, tag);
    let lock = shop.project.lock();
    let entry = lock.images().next().unwrap();
    let platform = &entry.platforms["linux/amd64"];

    let told = inspect(engines, &shop.project, nowhere, &[&image, "--format=json"]).json();
    let repository = image.rsplit_once(':').unwrap().0;
    assert_eq!(told["pinned"], format!("{repository}@{digest}"));
    assert_eq!(told["read_from"], "registry");
    assert_eq!(told["local"], Value::Null);
    let about = &told["platforms"]["linux/amd64"];
    assert_eq!(about["manifest"], json!(platform.manifest));
    assert_eq!(about["config"], json!(platform.config));
    assert_eq!(about["labels"]["team"], "vision");
    assert_eq!(told["registry"]["can_be_pulled"], true);
    assert_eq!(told["lock"]["is_this_image"], true);
    assert_eq!(told["lock"]["checksum"], json!(lock.checksum(&entry.key())));
    let packages = entry.packages.as_ref().unwrap();
    let dpkg = packages.apt.iter().find(|p| p.name == "dpkg").unwrap();
    let listed = &told["packages"]["apt"][format!("dpkg:{}", dpkg.arch)];
    assert_eq!(listed, &json!(dpkg.version));
    assert_eq!(
        told["runs"],
        json!([{"id": "exp-7", "status": "bound", "is_recorded": true, "is_attached": true}])
    );

    // Elsewhere, with nothing but the registry: the same, and what the layers hold besides.
    let empty = Project::new(&[]);
    let args = [&image, "--layers", "--format=json"];
    let far = inspect(engines, &empty, nowhere, &args).json();
    assert_eq!(far["lock"]["from"], "registry");
    assert_eq!(far["runs"][0]["is_attached"], true);
    assert_eq!(far["runs"][0]["is_recorded"], false);
    assert_eq!(far["packages"]["from"], "layers");
    for kind in ["apt", "python"] {
        assert_eq!(far["packages"][kind], told["packages"][kind], "{kind}");
    }
    let accounts = far["accounts"].as_array().unwrap();
    assert!(accounts.iter().any(|account| account["uid"] == 1000));

    shop.adopt(&image, &["--uid", "2000"]).answer();
    let adopted = format!("{image}-uid2000");
    let told = inspect(
        engines,
        &shop.project,
        nowhere,
        &[&adopted, "--format=json"],
    )
    .json();
    assert_eq!(told["derived_from"]["from"], format!("{image}@{digest}"));
    assert_eq!(told["derived_from"]["uid"], 2000);

    // What its name means now isn't what was locked.
    shop.project.write("train.py", "print('better')\n");
    shop.build(&image, &[&more[..], &["--no-lock"]].concat());
    let said = inspect(engines, &shop.project, nowhere, &[&image]);
    let another = format!("mlbuild.lock is another image: {digest}");
    assert!(said.answer().contains(&another), "{}", said.stdout);

    // A registry that threw a layer away.
    let layers = manifest["layers"].as_array().unwrap();
    let gone = layers.last().unwrap()["digest"].as_str().unwrap();
    let path = format!("/v2/{name}/blobs/{gone}");
    assert_eq!(
        http::request("DELETE", &engines.registry, &path).status,
        202
    );
    let pinned = format!("{repository}@{digest}");
    let said = inspect(engines, &shop.project, nowhere, &[&pinned]);
    let said = said.answer();
    assert!(
        said.contains("the registry lacks 1:") && said.contains(gone),
        "{said}"
    );
}

#[test]
fn an_image_of_this_machine_is_told_by_its_docker() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    for (docker_name, host) in engines.dockers() {
        let image = unique(&engines.registry, "inspect-local");
        docker(&engines, host, &["pull", "--quiet", &engines.ubuntu_base]);
        docker(&engines, host, &["tag", &engines.ubuntu_base, &image]);
        let id = docker(
            &engines,
            host,
            &["image", "inspect", "-f", "{{.Id}}", &image],
        );
        // Of the two older stores, one shows how layers are read.
        let layers = if host == engines.docker_20 {
            "--local"
        } else {
            "--layers"
        };
        let args = [&image, layers, "--format=json"];
        let told = inspect(&engines, &project, host, &args).json();
        assert!(
            told["read_from"].as_str().unwrap().starts_with("docker "),
            "{docker_name}: {told}"
        );
        assert_eq!(told["local"]["id"], id, "{docker_name}");
        let kind = told["local"]["id_is"].as_str().unwrap();
        assert_eq!(told["platforms"]["linux/amd64"][kind], id, "{docker_name}");
        if layers == "--layers" {
            // It was never pushed by this name.
            assert_eq!(told["registry"]["problem"], "it doesn't have the image");
            let accounts = told["accounts"].as_array().unwrap();
            let ubuntu = accounts.iter().find(|a| a["name"] == "ubuntu").unwrap();
            assert_eq!(ubuntu["uid"], 1000, "{docker_name}");
            assert!(told["packages"]["apt"].as_object().unwrap().len() > 50);
        }
        let by_id = inspect(&engines, &project, host, &[&id, "--format=json"]).json();
        assert_eq!(by_id["local"]["id"], id, "{docker_name}");
        docker(&engines, host, &["rmi", &image]);
    }
}

#[test]
fn an_image_that_is_nowhere_or_has_no_name_is_one_error() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let missing = format!("{}/inspect/not-there:v1", engines.registry);
    let base = engines.base.clone();
    let mut said = String::new();
    let mut note = |shown: &[&str], args: &[&str], host: &str, code: i32| {
        let ran = inspect(&engines, &project, host, args);
        let stderr = ran
            .refusal(code)
            .replace(&missing, "MISSING")
            .replace(&base, "BASE");
        said += &format!(
            "$ mlbuild inspect {}\n{}",
            shown.join(" "),
            project.filtered(&stderr)
        );
    };
    let here = engines.docker_classic.as_str();
    note(&["MISSING"], &[&missing], here, 2);
    note(&["--local MISSING"], &["--local", &missing], here, 2);
    note(&["'Not a name'"], &["Not a name"], here, 2);
    note(&["./nothing.tar"], &["./nothing.tar"], here, 2);
    note(
        &["--platform=linux/s390x BASE"],
        &["--platform=linux/s390x", &base],
        here,
        2,
    );
    note(
        &["--platform=a/b/c/d BASE"],
        &["--platform=a/b/c/d", &base],
        here,
        2,
    );
    let nowhere = "unix:///nowhere/docker.sock";
    note(
        &["--local BASE # no daemon"],
        &["--local", &base],
        nowhere,
        3,
    );
    note(
        &["127.0.0.1:1/x # no registry"],
        &["127.0.0.1:1/x"],
        here,
        3,
    );
    insta::assert_snapshot!(said, @r"
    $ mlbuild inspect MISSING
    error: MISSING isn't in the registry; and docker doesn't have it here
      hint: docker image ls lists what is here; mlbuild image --push puts one there
    $ mlbuild inspect --local MISSING
    error: MISSING: docker doesn't have it here
      hint: docker image ls lists what is here; without --local its registry is asked
    $ mlbuild inspect 'Not a name'
    error: `Not a name` isn't an image reference: a name is [HOST[:PORT]/]NAME of lower-case letters, digits and single separators
    $ mlbuild inspect ./nothing.tar
    error: ./nothing.tar: can't be read: No such file or directory (os error 2)
    $ mlbuild inspect --platform=linux/s390x BASE
    error: BASE has no image for linux/s390x; it has linux/amd64
      hint: leave --platform out
    $ mlbuild inspect --platform=a/b/c/d BASE
    error: --platform a/b/c/d: not a platform
      hint: write it as linux/amd64
    $ mlbuild inspect --local BASE # no daemon
    error: nothing here starts containers; tried:
      docker: unix:///nowhere/docker.sock: /nowhere/docker.sock: no such socket
      podman: no such program on PATH
      nerdctl: no such program on PATH
      hint: install Docker or Podman, or start it: sudo systemctl start docker
      hint: or a private Docker, which changes nothing else here: mlbuild engine up --source packages
    $ mlbuild inspect 127.0.0.1:1/x # no registry
    error: the registry [REGISTRY] can't be reached: Connection refused (os error 111); and docker doesn't have it here
      hint: is `[REGISTRY]` the right name, and does it run?
    ");
}
