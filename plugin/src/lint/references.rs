//! Objects that name each other: whether what is named is there, and fits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_analysis::template;
use sluice_crds::{AnalysisTemplateSpec, Rollout};
use sluice_machine::routing::Objects;
use sluice_machine::{Fact, Memory, Settings, Template, TemplateRef, Why, World, references, validate};
use sluice_traffic::ObjectRef;

use super::{Document, Finding, Problem};

/// Manifests leave the namespace to whoever applies them: such an object is in the namespace of whatever names it.
#[derive(Debug)]
pub struct Given<'d> {
    documents: &'d [Document],
}

impl<'d> Given<'d> {
    /// The objects of all sources.
    pub fn new(documents: &'d [Document]) -> Given<'d> {
        Given { documents }
    }

    /// The object of that name; one of the same folder rather than another.
    fn find(&self, from: &Document, group: &str, kind: &str, name: &str) -> Option<&'d Value> {
        let group_of = |document: &'d Document| document.api_version().split_once('/').map_or("", |(group, _)| group);
        let near = |other: &str| other.is_empty() || from.namespace().is_empty() || other == from.namespace();
        let found = self.documents.iter().filter(|document| {
            document.kind() == kind
                && document.name() == name
                && near(document.namespace())
                && group_of(document) == group
        });
        found
            .min_by_key(|document| document.folder() != from.folder())
            .map(|document| &document.value)
    }

    fn template(&self, from: &Document, template: &TemplateRef) -> Option<Fact<Template>> {
        let kind = if template.cluster_scope {
            "ClusterAnalysisTemplate"
        } else {
            "AnalysisTemplate"
        };
        let object = self.find(from, "argoproj.io", kind, &template.name)?;
        Some(
            match serde_json::from_value::<AnalysisTemplateSpec>(object["spec"].clone()) {
                Ok(spec) => match Template::from(spec) {
                    // Its own problems are reported with it.
                    template if !template.problems().is_empty() => Fact::Unknown(Why::Syncing),
                    template => Fact::Known(template),
                },
                Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
            },
        )
    }
}

/// What is wrong with the objects that a Rollout names. With `strict`, what is not given is an error.
pub fn problems(document: &Document, object: &Value, given: &Given<'_>, strict: bool) -> Vec<Problem> {
    let Ok(rollout) = serde_json::from_value::<Rollout>(object.clone()) else {
        return Vec::new();
    };
    let world = world(document, rollout, given);
    // Once with what is not given as unknown: the rest is wrong however the other objects are.
    let wrong = validate::references(&unknowing(&world));
    let missing = validate::references(&world)
        .into_iter()
        .filter(|problem| !wrong.contains(problem));
    let severity = if strict { Problem::error } else { Problem::warning };
    // Without a namespace a route is shown as `HTTPRoute /name`.
    let missing = missing.map(|found| {
        let text = found.problem.replace(" /", " ");
        severity(found.path, format!("{text} in the given files"))
    });
    let wrong_problems = wrong
        .iter()
        .map(|found| Problem::error(found.path.clone(), found.problem.clone()));
    let mut problems: Vec<Problem> = wrong_problems.chain(missing).collect();
    problems.extend(route_problems(&world));
    problems.extend(argument_problems(&world));
    problems
}

fn world(document: &Document, rollout: Rollout, given: &Given<'_>) -> World {
    let names = references::references(&rollout);
    let fact = |found: Option<&Value>| found.map_or(Fact::Absent, |value| Fact::Known(value.clone()));
    let service = |name: &String| (name.clone(), fact(given.find(document, "", "Service", name)));
    let route = |route: &ObjectRef| {
        let group = route.api_version.split_once('/').map_or("", |(group, _)| group);
        (
            route.clone(),
            fact(given.find(document, group, &route.kind, &route.name)),
        )
    };
    let mut templates = BTreeMap::new();
    let mut open: Vec<TemplateRef> = names.templates.iter().cloned().collect();
    while let Some(template) = open.pop() {
        if templates.contains_key(&template) {
            continue;
        }
        let fact = given.template(document, &template).unwrap_or(Fact::Absent);
        let nested = fact.known().and_then(|spec| spec.templates.as_ref());
        open.extend(nested.into_iter().flatten().filter_map(references::template));
        templates.insert(template, fact);
    }
    World {
        services: names.services.iter().map(service).collect(),
        objects: names.objects.iter().map(route).collect(),
        templates,
        replica_sets: Fact::Known(BTreeMap::new()),
        runs: Fact::Known(BTreeMap::new()),
        answers: BTreeMap::new(),
        incumbent: None,
        settings: Settings::default(),
        memory: Memory::default(),
        rollout,
    }
}

fn unknowing(world: &World) -> World {
    fn forget<K, T>(facts: &mut BTreeMap<K, Fact<T>>) {
        for fact in facts.values_mut().filter(|fact| matches!(fact, Fact::Absent)) {
            *fact = Fact::Unknown(Why::Syncing);
        }
    }
    let mut world = world.clone();
    forget(&mut world.services);
    forget(&mut world.objects);
    forget(&mut world.templates);
    world
}

/// What keeps a router from working with the routes that are given.
fn route_problems(world: &World) -> Vec<Problem> {
    let problem = |router: &sluice_traffic::Router| {
        let objects = Objects::read(world, router).ok()?;
        let problem = router.observe(objects.seen(), references::pair(&world.rollout)).err()?;
        let text = format!(
            "{} {}: {}: {}",
            problem.object.kind, problem.object.name, problem.path, problem.problem
        );
        Some(Problem::error("spec.strategy.canary.trafficRouting", text))
    };
    references::routers(&world.rollout).iter().filter_map(problem).collect()
}

/// Arguments that no template knows, where all templates are given.
fn argument_problems(world: &World) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, analysis) in world.rollout.spec.analyses() {
        let templates = analysis.templates.as_deref().unwrap_or_default();
        let lookup = |cluster_scope: bool, name: &str| world.template_spec(cluster_scope, name);
        let Ok(flattened) = template::flatten(templates, &lookup) else {
            continue;
        };
        let known: BTreeSet<&str> = flattened.args.iter().map(|arg| arg.name.as_str()).collect();
        for (index, arg) in analysis.args.iter().flatten().enumerate() {
            if !known.contains(arg.name.as_str()) {
                let text = format!("no template has the argument `{}`: it has no effect", arg.name);
                problems.push(Problem::warning(format!("{path}.args[{index}].name"), text));
            }
        }
    }
    problems
}

/// Objects that stand twice in the files of one folder: the later one would replace the earlier one. Files of different folders
/// are often variants that are never applied together.
pub fn duplicates(documents: &[Document]) -> Vec<Finding> {
    let mut seen: BTreeMap<[&str; 5], &Document> = BTreeMap::new();
    let mut findings = Vec::new();
    for document in documents
        .iter()
        .filter(|document| document.is_ours() && !document.name().is_empty())
    {
        let key = [
            document.folder(),
            document.api_version(),
            document.kind(),
            document.namespace(),
            document.name(),
        ];
        if let Some(first) = seen.get(&key) {
            let text = format!(
                "has the same name as document {} of {}: one of them replaces the other",
                first.number, first.file
            );
            findings.push(document.finding(Problem::warning("metadata.name", text)));
        } else {
            seen.insert(key, document);
        }
    }
    findings
}
