//! What breaks the stack in a cluster is told first, by cause and object, soon after it can be seen; and the tree as it
//! was brings the stack back.

use std::fs;
use std::time::{Duration, Instant};

use harness::verdict::Exit;

use super::super::input::project;
use super::{Clusters, STACK_UP, UP};

/// How long a run may take from applying the tree to its end: a pod takes some time to go and another to start, and a
/// cause that is seen ends the run within 30 s.
const TOLD: Duration = Duration::from_secs(90);

/// A change of the tree that nothing can come up with.
struct Breakage {
    name: &'static str,
    /// File of the deploy tree, the text to find there, and the text instead.
    edits: &'static [(&'static str, &'static str, &'static str)],
    /// How the run's first line begins.
    told: &'static str,
    exit: Exit,
}

const NODE_EXPORTER: &str = "prometheus/node-exporter.yaml";
const METRICS_SERVER: &str = "overlays/kind/metrics-server.yaml";
const OPERATOR: &str = "prometheus/prometheus-operator.yaml";
const BUCKETS: &str = "overlays/kind/s3.yaml";

const BREAKAGES: [Breakage; 10] = [
    Breakage {
        name: "an image that does not exist",
        edits: &[(NODE_EXPORTER, "node-exporter:v1.12.1", "node-exporter:v9.9.9")],
        told: "DaemonSet monitoring/node-exporter: the image quay.io/prometheus/node-exporter:v9.9.9 of container \
               `node-exporter`",
        exit: Exit::Environment,
    },
    Breakage {
        name: "a selector that matches nothing",
        edits: &[(
            NODE_EXPORTER,
            "  clusterIP: None\n  selector:\n    app.kubernetes.io/name: node-exporter",
            "  clusterIP: None\n  selector:\n    app.kubernetes.io/name: node_exporter",
        )],
        told: "Service monitoring/node-exporter: its selector matches no pod; the nearest, Pod \
               monitoring/node-exporter-",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a port's name that no container has",
        edits: &[(NODE_EXPORTER, "targetPort: metrics", "targetPort: metric")],
        told: "Service monitoring/node-exporter: its port `metrics` goes to `metric`, but pod",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a key that its ConfigMap has not",
        edits: &[(
            BUCKETS,
            "          env:\n",
            "          env:\n            - name: ZONE\n              valueFrom: {configMapKeyRef: {name: \
             elasticsearch-setup, key: zone}}\n",
        )],
        told: "Deployment monitoring/s3: ConfigMap monitoring/elasticsearch-setup has no key `zone`",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a kind that nobody has defined",
        edits: &[(
            BUCKETS,
            "---\napiVersion: v1\nkind: Service\n",
            "---\napiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshot\nmetadata:\n  name: s3\n  namespace: \
             monitoring\nspec:\n  source:\n    persistentVolumeClaimName: s3\n---\napiVersion: v1\nkind: Service\n",
        )],
        told: "VolumeSnapshot monitoring/s3: the cluster has no kind VolumeSnapshot of snapshot.storage.k8s.io/v1",
        exit: Exit::Failed,
    },
    Breakage {
        name: "rights that are too narrow",
        edits: &[
            (
                OPERATOR,
                "    resources: [statefulsets]\n    verbs: [create, delete, get, list, patch, update, watch]",
                "    resources: [statefulsets]\n    verbs: [get, list, watch]",
            ),
            (
                "overlays/kind/kustomization.yaml",
                "value: {cpu: 100m, memory: 256Mi}",
                "value: {cpu: 90m, memory: 256Mi}",
            ),
        ],
        told: "Prometheus monitoring/prometheus: the service account monitoring/prometheus-operator may not",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a claim of a class that is not there",
        edits: &[(
            BUCKETS,
            "---\napiVersion: v1\nkind: Service\n",
            "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: archive\n  namespace: \
             monitoring\nspec:\n  serviceName: s3\n  selector:\n    matchLabels:\n      app: archive\n  template:\n    \
             metadata:\n      labels:\n        app: archive\n    spec:\n      containers:\n        - name: archive\n          \
             image: docker.io/adobe/s3mock:4.7.0\n          volumeMounts:\n            - name: data\n              \
             mountPath: /data\n  volumeClaimTemplates:\n    - metadata:\n        name: data\n      spec:\n        \
             storageClassName: fast\n        accessModes: [ReadWriteOnce]\n        resources:\n          \
             requests:\n            storage: 1Gi\n---\napiVersion: v1\nkind: Service\n",
        )],
        told: "PersistentVolumeClaim monitoring/data-archive-0: there is no storage class `fast`",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a probe that is too short",
        edits: &[(
            METRICS_SERVER,
            // Ready means that metrics were collected, which takes it two rounds of 15 s.
            "              path: /livez\n              port: https\n              scheme: HTTPS\n            \
             initialDelaySeconds: 20\n",
            "              path: /readyz\n              port: https\n              scheme: HTTPS\n            \
             periodSeconds: 1\n            failureThreshold: 2\n",
        )],
        told: "Deployment kube-system/metrics-server: the liveness probe of container `metrics-server`",
        // What runs there is the cluster's own, and fails on a machine that is too small for it.
        exit: Exit::Environment,
    },
    Breakage {
        name: "too little memory",
        edits: &[(
            NODE_EXPORTER,
            "              memory: 48Mi\n            limits:\n              cpu: 250m\n              memory: 128Mi\n",
            "              memory: 12Mi\n            limits:\n              cpu: 250m\n              memory: 12Mi\n",
        )],
        told: "DaemonSet monitoring/node-exporter: container `node-exporter`",
        exit: Exit::Failed,
    },
    Breakage {
        name: "a quota",
        edits: &[
            (
                BUCKETS,
                "---\napiVersion: v1\nkind: Service\n",
                "---\napiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: small\n  namespace: monitoring\nspec:\n  \
                 hard:\n    pods: \"1\"\n---\napiVersion: v1\nkind: Service\n",
            ),
            (
                BUCKETS,
                "              value: /data",
                "              value: /data/",
            ),
        ],
        told: "Deployment monitoring/s3: its pod exceeds the quota small",
        exit: Exit::Failed,
    },
];

#[test]
#[ignore = "needs kind, a container engine and the stack's images; run by ci/kind"]
fn what_breaks_the_stack_is_told_first() {
    let clusters = Clusters::new();
    clusters.ok_within(UP + STACK_UP, &["up", "--target", "kind", "--name", "broken"]);
    let only = std::env::var("BREAKAGE").unwrap_or_default();
    let mut wrong = Vec::new();
    for Breakage {
        name,
        edits,
        told,
        exit,
    } in BREAKAGES.iter().filter(|breakage| breakage.name.contains(&only))
    {
        let root = project(&clusters.ground);
        for (file, find, instead) in *edits {
            let path = root.join("deploy").join(file);
            let text = fs::read_to_string(&path).expect("the file can be read");
            assert!(text.contains(find), "{name}: {file} has no {find:?}");
            fs::write(&path, text.replacen(find, instead, 1)).expect("the file can be written");
        }
        let mut conform = clusters.conform(&[
            "run",
            "--target",
            "kind",
            "--name",
            "broken",
            "--case",
            "alerts/declared",
            "--root",
            "project",
        ]);
        conform.env_remove("CONFORM_ROOT");
        let mut running = clusters.ground.start(conform);
        running.said_within("applying the tree", UP);
        let begin = Instant::now();
        let ended = running.ends(STACK_UP);
        let took = begin.elapsed();
        println!("{name}: {took:.1?}: {}: {}", ended.code, ended.verdict_line());
        if !ended.verdict_line().starts_with(told) || ended.code != i32::from(exit.code()) || took > TOLD {
            wrong.push(format!("{name}, after {took:.1?}: expected {told}\n{ended}"));
        }
    }
    // The tree as it is: what the breakages added is gone, what they changed is as it was.
    clusters.ok_within(STACK_UP, &["up", "--target", "kind", "--name", "broken"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    clusters.ok(&["down", "--all"]);
    clusters.assert_clean();
}
