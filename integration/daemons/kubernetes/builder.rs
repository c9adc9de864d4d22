//! A buildkitd in a pod: `kubectl exec` leads to it. The node runs what is executed in a pod as a
//! program beside it, which reaches the buildkitd of the tests.

use serde_json::json;

use super::cluster::Cluster;

#[test]
fn a_builder_in_a_pod_builds() {
    let cluster = Cluster::new();
    let pod = json!({"metadata": {"name": "buildkitd-0"}, "spec": {
        "nodeName": "test-node",
        "containers": [{"name": "main", "image": "x"}],
    }});
    cluster.create(&cluster.path("api/v1", "pods"), &pod);
    cluster.runs("buildkitd-0");
    let text = format!("FROM {}\nRUN echo built > /word\n", cluster.engines.base);
    cluster.project.write("Dockerfile", &text);
    let builder = |pod: &str, more: &str| {
        format!(
            "--builder=kube-pod://{pod}?namespace={}{more}",
            cluster.namespace
        )
    };
    let image = |builder: &str| {
        let out = "--output=type=local,dest=out";
        cluster.run(&["image", "-f", "Dockerfile", "--no-lock", out, builder])
    };
    let ran = image(&builder("buildkitd-0", "&context=test&container=main"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(cluster.project.read("out/word"), "built\n");

    let gone = image(&builder("buildkitd-7", ""));
    let why = gone.refusal(3);
    assert!(why.contains("kube-pod://buildkitd-7"), "{why}");
    assert!(why.contains("\"buildkitd-7\" not found"), "{why}");
}
