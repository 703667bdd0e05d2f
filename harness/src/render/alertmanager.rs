//! Alertmanager: its file out of the tree's Secret, and its arguments.

use indexmap::IndexMap;
use serde_json::Value;
use url::Url;

use super::arguments::Arguments;
use super::changes::Changes;
use super::{AlertmanagerRequest, RenderError, Rendered, yaml};
use crate::deploy::kinds::alertmanager::AlertmanagerSpec;
use crate::deploy::kinds::{View, only};
use crate::deploy::{DeployError, DeployTree};
use crate::units::Span;

mod file;
mod matcher;
mod route;
mod timers;

pub use matcher::{MatchOperator, Matcher};
pub use route::Route;

use file::{File, file};

const FILE: &str = "alertmanager.yml";

/// How long silences and the notification log are kept when the object does not say
/// (prometheus-operator v0.85, API reference).
const RETENTION: &str = "120h";

/// Where it gossips. It has no peers here, but exposes the cluster's metrics, which rules ask for, only
/// while it gossips (Alertmanager v0.31, cluster/cluster.go).
const CLUSTER: &str = "127.0.0.1:0";

/// How often it gossips here; Alertmanager takes gossip for settled after three quiet polls, ten
/// intervals apart, and holds notifications back until then (v0.31, cluster/cluster.go).
const GOSSIP_INTERVAL: &str = "5ms";
/// How often it gossips where nothing else is said (Alertmanager v0.31, cluster/cluster.go).
const USUAL_GOSSIP_INTERVAL: &str = "200ms";

/// Renders an Alertmanager of the tree's Alertmanager object.
pub fn render(tree: &DeployTree, request: &AlertmanagerRequest) -> Result<Rendered, RenderError> {
    let alertmanager = declared(tree)?;
    let mut changes = Changes::default();
    changes.cluster_only(&alertmanager);
    let mut file = file(tree, &alertmanager)?;
    // Whatever cannot be routed is found before a server is started on it.
    route::tree(&file)?;
    redirect(&mut file, &request.receiver, &mut changes)?;
    timers::divide(&mut file, request.divide_durations_by, &mut changes)?;
    let arguments = arguments(&alertmanager, request, &mut changes)?;
    Ok(Rendered {
        files: IndexMap::from([(FILE.to_owned(), yaml::write(FILE, &file.content)?)]),
        arguments: arguments.0,
        environment: Vec::new(),
        changed_values: changes.0,
    })
}

/// The route tree as declared, every route with what it inherits.
pub fn routes(tree: &DeployTree) -> Result<Route, RenderError> {
    Ok(route::tree(&file(tree, &declared(tree)?)?)?)
}

fn declared(tree: &DeployTree) -> Result<View<'_, AlertmanagerSpec>, DeployError> {
    let alertmanager = only::<AlertmanagerSpec>(tree, "to render an Alertmanager")?;
    if alertmanager.spec.alertmanager_config_selector.is_some()
        && let Some(object) = tree.of_kind("AlertmanagerConfig").next()
    {
        return Err(object.wrong(
            "kind",
            "rendering knows no AlertmanagerConfig; put its routes and receivers into the Alertmanager's Secret",
        ));
    }
    Ok(alertmanager)
}

/// Sends every webhook to the receiver, on its declared path. Other kinds of receivers are refused:
/// a test must not page people.
fn redirect(file: &mut File<'_>, receiver: &Url, changes: &mut Changes) -> Result<(), DeployError> {
    let object = file.secret;
    let place = file.place;
    let Some(Value::Array(receivers)) = file.content.get_mut("receivers") else {
        return Err(object.wrong(
            format!("{place}.receivers"),
            "missing; Alertmanager needs a list of receivers",
        ));
    };
    for (index, declared) in receivers.iter_mut().enumerate() {
        let Some(members) = declared.as_object_mut() else {
            return Err(object.wrong(
                format!("{place}.receivers[{index}]"),
                "not a mapping; a receiver has a `name`",
            ));
        };
        for (field, value) in members {
            let at = format!("{place}.receivers[{index}].{field}");
            match (field.as_str(), value) {
                ("name", _) => {}
                ("webhook_configs", Value::Array(webhooks)) => {
                    for (number, webhook) in webhooks.iter_mut().enumerate() {
                        let at = format!("{at}[{number}]");
                        redirect_webhook(object, &at, webhook, receiver, changes)?;
                    }
                }
                (_, Value::Array(configs)) if configs.is_empty() => {}
                _ => {
                    return Err(object.wrong(
                        at,
                        "rendering redirects webhooks only and would notify real people here; use `webhook_configs`",
                    ));
                }
            }
        }
    }
    Ok(())
}

fn redirect_webhook(
    object: &crate::deploy::Object,
    at: &str,
    webhook: &mut Value,
    receiver: &Url,
    changes: &mut Changes,
) -> Result<(), DeployError> {
    let declared = webhook
        .get("url")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let parsed: Url = declared.parse().map_err(|why| {
        object.wrong(
            format!("{at}.url"),
            format!(
                "`{declared}` is not a URL ({why}); rendering redirects webhooks whose `url` is written here"
            ),
        )
    })?;
    let mut redirected = receiver.clone();
    redirected.set_path(parsed.path());
    redirected.set_query(parsed.query());
    changes.add(
        object,
        format!("{at}.url"),
        declared,
        redirected.as_str(),
        "notifications go to the run's own receiver, on the declared path",
    );
    if let Some(members) = webhook.as_object_mut() {
        members.insert("url".to_owned(), Value::from(redirected.as_str()));
        if members.shift_remove("http_config").is_some() {
            // Its content is not shown: it may hold credentials, and the report is passed around.
            changes.add(
                object,
                format!("{at}.http_config"),
                "set",
                "not set",
                "the run's own receiver speaks plain HTTP and asks nobody who they are",
            );
        }
    }
    Ok(())
}

/// The arguments, in the operator's order (prometheus-operator v0.85, pkg/alertmanager/statefulset.go).
fn arguments(
    alertmanager: &View<'_, AlertmanagerSpec>,
    request: &AlertmanagerRequest,
    changes: &mut Changes,
) -> Result<Arguments, DeployError> {
    let (object, spec) = (alertmanager.object, &alertmanager.spec);
    let retention = spec.retention.as_deref().unwrap_or(RETENTION);
    // Go's notation has no unit above hours, Prometheus' has.
    if retention.parse::<Span>().is_err() || retention.contains(['d', 'w', 'y']) {
        return Err(object.wrong(
            "spec.retention",
            format!("`{retention}` is not a duration as Alertmanager's flag reads it; write it in h, m, s and ms, for example 120h"),
        ));
    }
    let mut arguments = Arguments::default();
    arguments.value("config.file", FILE);
    arguments.value("storage.path", "data");
    arguments.value("data.retention", retention);
    arguments.value("cluster.listen-address", CLUSTER);
    changes.add(
        object,
        "--cluster.listen-address",
        "[$(POD_IP)]:9094",
        CLUSTER,
        "gossip stays on loopback, on a port that the kernel picks",
    );
    arguments.value("cluster.gossip-interval", GOSSIP_INTERVAL);
    changes.add(
        object,
        "--cluster.gossip-interval",
        spec.cluster_gossip_interval
            .as_deref()
            .unwrap_or(USUAL_GOSSIP_INTERVAL),
        GOSSIP_INTERVAL,
        "notifications wait until gossip has settled, which takes 30 to 40 intervals even without peers",
    );
    arguments.value("web.listen-address", request.listen);
    arguments.optional("web.external-url", spec.external_url.as_ref());
    arguments.value("web.route-prefix", "/");
    if let Some(prefix) = &spec.route_prefix {
        changes.add(
            object,
            "spec.routePrefix",
            prefix,
            "/",
            "the target's clients ask at the root",
        );
    }
    arguments.optional("web.get-concurrency", spec.web.get_concurrency);
    arguments.optional("web.timeout", spec.web.timeout);
    let plain = "the target's clients speak plain HTTP on loopback";
    changes.left_out(object, "spec.web.tlsConfig", spec.web.tls_config.as_ref(), plain);
    changes.left_out(
        object,
        "spec.web.httpConfig",
        spec.web.http_config.as_ref(),
        plain,
    );
    arguments.optional("log.level", spec.log_level.as_ref());
    arguments.optional("log.format", spec.log_format.as_ref());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::tests::tree;
    use crate::mutant::Edit;
    use crate::render::samples::TREE;
    use rstest::rstest;

    const SECRET: &str = "Secret/alertmanager-config";
    const POINTER: &str = "/stringData/alertmanager.yaml";

    fn rendered(tree: &DeployTree, divide_durations_by: u32) -> Result<Rendered, RenderError> {
        let request = AlertmanagerRequest {
            listen: ([127, 0, 0, 1], 20004).into(),
            receiver: "http://127.0.0.1:20005/".parse().unwrap(),
            divide_durations_by,
        };
        render(tree, &request)
    }

    #[test]
    fn only_the_webhooks_hosts_differ_from_the_declared_file() {
        let rendered = rendered(&tree(TREE), 1).unwrap();
        insta::assert_snapshot!(rendered.files["alertmanager.yml"]);
        insta::assert_json_snapshot!((rendered.arguments, rendered.changed_values));
    }

    #[test]
    fn credentials_of_a_webhook_do_not_reach_the_report() {
        let rendered = rendered(&tree(TREE), 60).unwrap();
        let listed = serde_json::to_string(&rendered.changed_values).unwrap();
        assert!(listed.contains("http_config"), "{listed}");
        assert!(!listed.contains("credentials"), "{listed}");
    }

    #[test]
    fn every_timer_is_divided_also_those_left_to_alertmanager() {
        let rendered = rendered(&tree(TREE), 60).unwrap();
        let text = &rendered.files["alertmanager.yml"];
        for timer in [
            "group_wait: 500ms",
            "group_interval: 5s",
            "repeat_interval: 4m",
            "group_wait: 0s",
            "repeat_interval: 1m",
            "resolve_timeout: 5s",
        ] {
            assert!(text.contains(timer), "{timer} in {text}");
        }
        let timers = rendered
            .changed_values
            .iter()
            .filter(|c| c.why.starts_with("time is divided"))
            .count();
        assert_eq!(timers, 5);
    }

    #[test]
    fn routes_are_predicted_with_what_they_inherit() {
        let root = routes(&tree(TREE)).unwrap();
        let critical = IndexMap::from([("severity".to_owned(), "critical".to_owned())]);
        let taken = root.match_route(&critical);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].receiver, "critical");
        assert_eq!(taken[0].group_by, ["alertname"]);
        assert_eq!(taken[0].group_interval, "5m".parse().unwrap());
        assert_eq!(root.receivers(&IndexMap::new()), ["info"]);
    }

    #[test]
    fn the_file_may_be_base64_encoded() {
        let edited = tree(TREE)
            .edited(&[
                Edit::remove(SECRET, "/stringData"),
                Edit::set(SECRET, "/data", serde_json::json!({"alertmanager.yaml": "cm91dGU6IHtyZWNlaXZlcjogYX0KcmVjZWl2ZXJzOiBbe25hbWU6IGF9XQo="})),
            ])
            .unwrap();
        assert_eq!(routes(&edited).unwrap().receiver, "a");
    }

    #[rstest]
    #[case(
        "info\n  group_by",
        "inof\n  group_by",
        "route.receiver: there is no receiver `inof`; the nearest is `info`"
    )]
    #[case(
        "group_wait: 0s",
        "group_wiat: 0s",
        "route.routes[0].group_wiat: unknown field"
    )]
    #[case(
        "severity = \"critical\"'], group_wait",
        "severity'], group_wait",
        "route.routes[0].matchers[0]: `severity` is not a matcher"
    )]
    #[case(
        "webhook_configs:\n      - url: http://notification-gateway.monitoring:8080/alerts/critical",
        "slack_configs:\n      - channel: x",
        "receivers[0].slack_configs: rendering redirects webhooks only"
    )]
    #[case(
        "repeat_interval: 4h",
        "repeat_interval: 0s",
        "route.repeat_interval: must not be zero"
    )]
    #[case("route:", "route", "does not parse")]
    fn what_does_not_fit_is_named_with_its_cause(
        #[case] find: &str,
        #[case] replace: &str,
        #[case] says: &str,
    ) {
        let tree = tree(TREE)
            .edited(&[Edit::replace_text(SECRET, POINTER, find, replace)])
            .unwrap();
        let error = rendered(&tree, 1).unwrap_err().to_string();
        assert!(
            error.contains("Secret/alertmanager-config: stringData[alertmanager.yaml]"),
            "{error}"
        );
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn a_retention_that_alertmanagers_flag_does_not_read_is_refused() {
        let tree = tree(TREE)
            .edited(&[Edit::set("Alertmanager/alertmanager", "/spec/retention", "5d")])
            .unwrap();
        let error = rendered(&tree, 1).unwrap_err().to_string();
        assert!(
            error.contains("spec.retention: `5d` is not a duration as Alertmanager's flag reads it"),
            "{error}"
        );
    }
}
