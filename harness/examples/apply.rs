//! Applies the objects on standard input to the cluster of a kubeconfig and waits until they are ready, as the
//! kind target does:
//!
//!     kubectl kustomize deploy/overlays/kind | cargo run --package harness --example apply -- KUBECONFIG

use std::io::Read as _;
use std::time::Instant;

use anyhow::Context as _;
use harness::seed::Seed;
use harness::target::kind::apply::{completed, deploy};
use harness::{deploy as tree, progress};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("give the path of a kubeconfig")?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let tree = tree::DeployTree::parse("standard input".as_ref(), &[("objects".into(), text)])?;
    let objects: Vec<_> = tree.objects().iter().map(|o| o.value.clone()).collect();
    let config =
        kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &KubeConfigOptions::default())
            .await?;
    let client = kube::Client::try_from(config)?;
    let progress = progress::Progress::new(progress::terminal());
    let began = Instant::now();
    let ended = async {
        let objects = completed(&client, objects, Seed::fresh()).await?;
        deploy(client, objects, &progress, &CancellationToken::new()).await
    }
    .await;
    eprintln!("after {:.1} s", began.elapsed().as_secs_f64());
    ended.map_err(|error| anyhow::anyhow!("{error}"))
}
