//! Where results go: each exporter, to each kind of place.

use mlbuild_buildkit::{ExportTarget, ImageStore, RegistryCredentials, Secret, SolveError};
use tokio::io::AsyncReadExt as _;

use super::{Build, all_builders, buildkitd, connect, docker, docker_config, folder, read};
use crate::support::engines::Engines;

const SMALL: &str = "FROM scratch\nCOPY greeting /greeting\n";

#[tokio::test]
async fn a_tree_comes_back_from_every_builder() {
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "hello\n")]);
    for (name, client) in all_builders().await {
        let out = Build::new(&client, dir.path()).files().await;
        assert_eq!(read(&out, "greeting"), "hello\n", "{name}");
    }
}

#[tokio::test]
async fn a_tar_comes_to_a_file_and_to_a_writer() {
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "hello\n")]);
    let client = buildkitd().await;
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("sub/out.tar");
    let target = ExportTarget::File(file.clone());
    let build = Build::new(&client, dir.path()).export("tar", &[], Some(target));
    build.run().await.output();
    let names = tar_names(&std::fs::read(&file).unwrap());
    assert_eq!(names, ["greeting"]);
    // Nothing else is left beside it.
    assert_eq!(
        std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
        1
    );

    let (writer, mut reader) = tokio::io::duplex(1 << 16);
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.map(|_| all)
    });
    let target = ExportTarget::Writer(Box::new(writer));
    let build = Build::new(&client, dir.path()).export("tar", &[], Some(target));
    build.run().await.output();
    assert_eq!(tar_names(&reading.await.unwrap().unwrap()), ["greeting"]);
}

#[tokio::test]
async fn a_failed_build_leaves_no_file() {
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPY missing /\n")]);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("out.tar");
    let target = ExportTarget::File(file.clone());
    let client = buildkitd().await;
    let build = Build::new(&client, dir.path()).export("tar", &[], Some(target));
    assert!(matches!(build.run().await.error(), SolveError::Build(_)));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_oci_layout_comes_as_a_tar_and_as_a_folder() {
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "hello\n")]);
    let client = buildkitd().await;
    let out = tempfile::tempdir().unwrap();

    let file = out.path().join("image.tar");
    let target = ExportTarget::File(file.clone());
    let build = Build::new(&client, dir.path()).export("oci", &[], Some(target));
    let as_tar = build.run().await.output();
    let names = tar_names(&std::fs::read(&file).unwrap());
    assert!(names.contains(&"index.json".to_string()), "{names:?}");

    let layout = out.path().join("layout");
    let target = ExportTarget::Dir(layout.clone());
    let attrs = [("name", "mlbuild.example/small:v1")];
    let build = Build::new(&client, dir.path()).export("oci", &attrs, Some(target));
    let as_folder = build.run().await.output();
    let digest = as_folder.descriptor.unwrap().digest().to_string();
    assert_eq!(digest, as_tar.descriptor.unwrap().digest().to_string());
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    assert!(
        index.contains(&digest) && index.contains(r#""v1""#),
        "{index}"
    );
    let blob = layout.join("blobs").join(digest.replace(':', "/"));
    assert!(
        std::fs::read_to_string(blob)
            .unwrap()
            .contains("\"layers\"")
    );
}

#[tokio::test]
async fn the_builder_pushes_and_names_the_digest() {
    let engines = Engines::from_env();
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "push\n")]);
    let name = format!("{}/wire/push:1", engines.registry);
    for (client, extra) in [
        (buildkitd().await, ("registry.insecure", "true")),
        (
            connect(&docker(&engines.docker_containerd)).await,
            ("x", ""),
        ),
    ] {
        let mut attrs = vec![("name", name.as_str()), ("push", "true")];
        if !extra.1.is_empty() {
            attrs.push(extra);
        }
        let build = Build::new(&client, dir.path()).export("image", &attrs, None);
        let output = build.run().await.output();
        let digest = output.descriptor.unwrap().digest().to_string();
        let url = format!(
            "http://{}/v2/wire/push/manifests/{digest}",
            engines.registry
        );
        let accept = "application/vnd.oci.image.manifest.v1+json, \
             application/vnd.docker.distribution.manifest.v2+json";
        let request = reqwest::Client::new().get(url).header("accept", accept);
        assert_eq!(request.send().await.unwrap().status(), 200, "{client:?}");
    }
}

#[tokio::test]
async fn a_classic_store_is_pushed_through_dockers_api() {
    let engines = Engines::from_env();
    let registry = &engines.registry_auth;
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "classic\n")]);
    for (name, socket) in engines.dockers() {
        let client = connect(&docker(socket)).await;
        let repository = format!("{}/wire/classic", registry.host);
        let image = format!("{repository}:1");
        let build = Build::new(&client, dir.path()).export("moby", &[("name", &image)], None);
        build.run().await.output();

        let api = client.docker().unwrap();
        let inspect = api.image_inspect(&image).await.unwrap();
        let inspect = inspect.unwrap_or_else(|| panic!("{name}: {image} isn't there"));
        assert_eq!(inspect.architecture, "amd64", "{name}");
        assert!(
            api.image_inspect("mlbuild-no-such-image")
                .await
                .unwrap()
                .is_none()
        );

        let refused = api.push_image(&repository, "1", None, |_| {}).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("auth"), "{name}: {refused}");

        api.tag_image(&image, &repository, "2").await.unwrap();
        let login = RegistryCredentials::Password {
            username: registry.user.clone(),
            password: Secret::new(&registry.password),
        };
        let mut lines = 0;
        let push = api.push_image(&repository, "2", Some(&login), |_| lines += 1);
        let pushed = push.await.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(pushed.tag, "2");
        assert!(
            pushed.digest.starts_with("sha256:") && lines > 0,
            "{pushed:?}"
        );
    }
}

#[tokio::test]
async fn a_docker_tar_is_loaded_into_a_docker() {
    let engines = Engines::from_env();
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "load\n")]);
    let builder = buildkitd().await;
    for (name, socket) in engines.dockers() {
        let client = connect(&docker(socket)).await;
        let api = client.docker().unwrap().clone();
        let (writer, reader) = tokio::io::duplex(1 << 16);
        let loading = tokio::spawn(async move {
            api.load_image(tokio_util::io::ReaderStream::new(reader))
                .await
        });
        let attrs = [("name", "wire-load:1"), ("oci-mediatypes", "false")];
        let target = ExportTarget::Writer(Box::new(writer));
        let build = Build::new(&builder, dir.path()).export("docker", &attrs, Some(target));
        build.run().await.output();
        let said = loading
            .await
            .unwrap()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(said.join("\n").contains("wire-load:1"), "{name}: {said:?}");
        let image = client.docker().unwrap().image_inspect("wire-load:1").await;
        assert!(image.unwrap().is_some(), "{name}");
    }
}

#[tokio::test]
async fn what_a_daemon_would_ignore_is_refused() {
    let engines = Engines::from_env();
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "hello\n")]);
    let classic = connect(&docker(&engines.docker_classic)).await;
    let attrs = [("name", "wire-ignored:1"), ("push", "true")];
    let build = Build::new(&classic, dir.path()).export("moby", &attrs, None);
    let error = build.run().await.error().to_string();
    assert!(
        error.contains("`push=true` isn't possible with this builder"),
        "{error}"
    );
    assert_eq!(
        classic.info().await.unwrap().kind,
        mlbuild_buildkit::BuilderKind::Docker {
            version: classic.docker().unwrap().version().await.unwrap().version,
            store: ImageStore::Classic
        }
    );
    let old = connect(&docker(&engines.docker_20)).await;
    let build = Build::new(&old, dir.path()).attr("context:other", "docker-image://x");
    let error = build.run().await.error().to_string();
    assert!(
        error.contains("needs BuildKit 0.10.0; Docker 20.10.24"),
        "{error}"
    );
}

#[tokio::test]
async fn several_results_come_from_one_build() {
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "twice\n")]);
    let client = buildkitd().await;
    let out = tempfile::tempdir().unwrap();
    let (tree, tar) = (out.path().join("tree"), out.path().join("out.tar"));
    Build::new(&client, dir.path())
        .export("local", &[], Some(ExportTarget::Dir(tree.clone())))
        .export("tar", &[], Some(ExportTarget::File(tar.clone())))
        .run()
        .await
        .output();
    assert_eq!(
        std::fs::read_to_string(tree.join("greeting")).unwrap(),
        "twice\n"
    );
    assert_eq!(tar_names(&std::fs::read(tar).unwrap()), ["greeting"]);
}

#[tokio::test]
async fn a_private_registry_takes_a_push_with_a_login() {
    let engines = Engines::from_env();
    let dir = folder(&[("Dockerfile", SMALL), ("greeting", "login\n")]);
    let client = buildkitd().await;
    for registry in [&engines.registry_auth, &engines.registry_token] {
        let name = format!("{}/wire/login:1", registry.host);
        let attrs = [
            ("name", name.as_str()),
            ("push", "true"),
            ("registry.insecure", "true"),
        ];
        let config = docker_config(&registry.host, &registry.user, &registry.password);
        let build = Build::new(&client, dir.path())
            .session(|s| s.auth(super::auth(&config)))
            .export("image", &attrs, None);
        build.run().await.output();

        let build = Build::new(&client, dir.path()).export("image", &attrs, None);
        let error = build.run().await.error().to_string();
        let asks = error.contains("401") || error.contains("authorization failed");
        assert!(asks || error.contains("no basic auth"), "{error}");
    }
}

fn tar_names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    let name =
        |e: std::io::Result<tar::Entry<&[u8]>>| e.unwrap().path().unwrap().display().to_string();
    entries.map(name).collect()
}
