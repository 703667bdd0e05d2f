//! The pipelines for GitHub and GitLab: the same jobs on both, made of this project's scripts and commands alone. That
//! the two servers take their files is what ci/pipelines shows.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rstest::rstest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ground::Ground;

/// The commands of each job, by the job's name.
type Jobs = BTreeMap<String, Vec<String>>;

/// A workflow of GitHub, as far as those here go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is not read has to be well-formed all the same")]
struct Workflow {
    name: String,
    on: Value,
    permissions: BTreeMap<String, String>,
    concurrency: Value,
    env: BTreeMap<String, Value>,
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Job {
    runs_on: String,
    timeout_minutes: u16,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is not read has to be well-formed all the same")]
struct Step {
    uses: Option<String>,
    run: Option<String>,
    shell: Option<String>,
    with: Option<BTreeMap<String, Value>>,
    r#if: Option<String>,
}

/// What the jobs have in common.
#[derive(Debug, Deserialize)]
struct Action {
    runs: Steps,
}

#[derive(Debug, Deserialize)]
struct Steps {
    steps: Vec<Step>,
}

/// A job of GitLab, as far as those here go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "what is not read has to be well-formed all the same")]
struct GitLabJob {
    extends: String,
    timeout: String,
    interruptible: Option<bool>,
    tags: Option<Vec<String>>,
    resource_group: Option<String>,
    artifacts: Option<Value>,
    #[serde(default)]
    before_script: Vec<String>,
    script: Vec<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    r#if: String,
}

/// A workflow's file, and the rule by which GitLab takes a job into the same pipeline.
const PIPELINES: [(&str, &str); 3] = [
    ("pull-request", r#"$CI_PIPELINE_SOURCE == "merge_request_event""#),
    ("nightly", r#"$CI_PIPELINE_SOURCE == "schedule""#),
    ("pre-release", "$CI_COMMIT_TAG"),
];

fn read<T: DeserializeOwned>(path: &str) -> T {
    let text = fs::read_to_string(suites::root().join(path)).expect("the file can be read");
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn workflow(name: &str) -> Workflow {
    read(&format!("ci/github/{name}.yml"))
}

/// The jobs of GitLab's file by their names; templates begin with a dot.
fn gitlab_jobs() -> BTreeMap<String, GitLabJob> {
    let document: BTreeMap<String, Value> = read("ci/gitlab/pipelines.yml");
    let about_all = ["stages", "workflow", "variables"];
    document
        .into_iter()
        .filter(|(name, _)| !name.starts_with('.') && !about_all.contains(&name.as_str()))
        .map(|(name, job)| {
            let job = serde_json::from_value(job).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, job)
        })
        .collect()
}

/// What of a job runs here, without what it obtains first.
fn on_github(workflow: Workflow) -> Jobs {
    let commands = |job: Job| job.steps.into_iter().filter_map(|step| step.run).collect();
    let jobs = workflow.jobs.into_iter();
    jobs.map(|(name, job)| (name, commands(job))).collect()
}

fn on_gitlab(rule: &str) -> Jobs {
    gitlab_jobs()
        .into_iter()
        .filter(|(_, job)| job.rules.iter().any(|one| one.r#if == rule))
        .map(|(name, job)| (name, job.script))
        .collect()
}

#[rstest]
#[case(PIPELINES[0])]
#[case(PIPELINES[1])]
#[case(PIPELINES[2])]
fn both_servers_run_the_same_jobs(#[case] (name, rule): (&str, &str)) {
    let github = on_github(workflow(name));
    assert!(!github.is_empty(), "{name} has jobs");
    assert_eq!(on_gitlab(rule), github);
}

#[test]
fn every_job_of_gitlab_is_in_a_pipeline_of_github() {
    for (name, job) in gitlab_jobs() {
        assert!(!job.rules.is_empty(), "{name} is in no pipeline");
        for rule in job.rules {
            let known = PIPELINES.iter().any(|(_, known)| rule.r#if == *known);
            assert!(known, "{name}: no workflow is like {}", rule.r#if);
        }
    }
}

#[test]
fn every_command_is_a_script_or_a_command_of_this_project() {
    let ground = Ground::new();
    let common: Action = read("ci/github/prepare/action.yml");
    let mut commands: Vec<String> = common
        .runs
        .steps
        .into_iter()
        .filter_map(|step| step.run)
        .collect();
    for (name, _) in PIPELINES {
        commands.extend(on_github(workflow(name)).into_values().flatten());
    }
    for job in gitlab_jobs().into_values() {
        commands.extend(job.before_script.into_iter().chain(job.script));
    }
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            [".ci/run", steps @ ..] => {
                assert!(!steps.is_empty(), "{command}: names its steps");
                for step in steps {
                    assert_program(&format!("ci/{step}"), &command);
                }
            }
            [program, ..] if program.starts_with("ci/") => assert_program(program, &command),
            ["cargo", "conform", rest @ ..] => {
                // With --help everything before it is still parsed, and nothing runs.
                let ended = ground.run(rest.iter().copied().chain(["--help"]));
                assert_eq!(ended.code, 0, "{command}: {ended}");
            }
            _ => panic!("`{command}` is logic of a pipeline's own: make it a script of ci/"),
        }
    }
}

fn assert_program(path: &str, command: &str) {
    let place = suites::root().join(path);
    let found = fs::metadata(&place).unwrap_or_else(|error| panic!("{command}: {path}: {error}"));
    assert!(
        found.is_file() && found.permissions().mode() & 0o111 != 0,
        "{command}: {path} is no program"
    );
}

#[test]
fn jobs_of_github_have_no_rights_but_to_read_and_take_actions_of_a_major_version() {
    let common: Action = read("ci/github/prepare/action.yml");
    let mut steps = common.runs.steps;
    for (name, _) in PIPELINES {
        let workflow = workflow(name);
        let rights = BTreeMap::from([("contents".to_owned(), "read".to_owned())]);
        assert_eq!(workflow.permissions, rights, "{name}");
        for (
            job,
            Job {
                runs_on,
                timeout_minutes,
                steps: of_job,
            },
        ) in workflow.jobs
        {
            assert!(
                !runs_on.ends_with("latest"),
                "{name}: {job}: a machine is named by its version"
            );
            // GitHub ends a job after six hours by itself.
            assert!(timeout_minutes < 360, "{name}: {job}");
            steps.extend(of_job);
        }
    }
    for uses in steps.into_iter().filter_map(|step| step.uses) {
        let major = uses.rsplit_once("@v").map(|(_, version)| version);
        let pinned = major.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit()));
        assert!(uses.starts_with("./") || pinned, "{uses}");
    }
}
