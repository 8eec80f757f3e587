//! Observing: from the caches to the World of one Rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use sluice_crds::{AnalysisTemplateSpec, Rollout};
use sluice_machine::references::{References, references};
use sluice_machine::{Answered, Ask, Fact, Memory, Template, TemplateRef, Why, World, read};
use sluice_traffic::ObjectRef;

use crate::cache::{Family, KindState};
use crate::context::Context;
use crate::incumbent::Incumbent;
use crate::kinds::Kind;
use crate::ledger::ObjectId;
use crate::object::{ObjectName, Stored};

/// Templates that one Rollout may lead to by way of other templates. More of them are treated as not known.
const MAX_TEMPLATES: usize = 100;

/// What a look at a Rollout gave.
#[derive(Debug)]
pub enum Observed {
    /// There is no such Rollout.
    Gone,
    /// It cannot be decoded.
    Undecodable {
        /// Its uid.
        uid: String,
        /// Where and why.
        problem: String,
    },
    /// Something that decisions need has not come yet. It leads to another look when it comes.
    Starting(String),
    /// The World.
    World(Box<World>),
}

/// Looks at a Rollout and everything that it names, with `memory` and `answers` from earlier.
pub fn observe(context: &Context, name: &ObjectName, memory: Memory, answers: BTreeMap<Ask, Answered>) -> Observed {
    let Some(family) = context.cache.family(name) else {
        return Observed::Gone;
    };
    let rollout: Rollout = match family.rollout.decode() {
        Ok(rollout) => rollout,
        Err(error) => {
            return Observed::Undecodable {
                uid: family.rollout.uid.clone(),
                problem: error.to_string(),
            };
        }
    };
    let references = references(&rollout);
    for route in &references.objects {
        context.want_route(&Kind::of_route(route));
    }
    let templates = templates(context, name, &references);
    if let Some(what) = starting(context, &references) {
        return Observed::Starting(what);
    }
    let Some(settings) = context.settings() else {
        return Observed::Starting("the definitions of kinds".to_owned());
    };
    let incumbent = match context.lookout.state() {
        Incumbent::Unknown => return Observed::Starting("the Lease of Argo Rollouts".to_owned()),
        Incumbent::Nobody => None,
        Incumbent::Live(holder) => Some(holder),
    };
    let in_namespace = |name: &String| ObjectName::new(rollout.metadata.namespace.clone().unwrap_or_default(), name);
    let services = references.services.iter().map(|service| {
        let id = ObjectId {
            kind: Kind::Service,
            name: in_namespace(service),
        };
        (service.clone(), raw(context, &id))
    });
    let mut services: BTreeMap<String, Fact<Value>> = services.collect();
    for managed in context.cache.managed_services(name) {
        services
            .entry(managed.name.name.clone())
            .or_insert_with(|| Fact::Known(managed.value()));
    }
    let objects = references
        .objects
        .iter()
        .map(|route| (route.clone(), raw_object(context, route)))
        .collect();
    let replica_sets = owned(&family, &family.replica_sets, &rollout, read::replica_set, |set| {
        set.name.clone()
    });
    let runs = owned(&family, &family.runs, &rollout, read::run, |run| run.name.clone());
    Observed::World(Box::new(World {
        rollout,
        replica_sets,
        services,
        objects,
        templates,
        runs,
        answers,
        incumbent,
        settings,
        memory,
    }))
}

/// The id of a route object or a workload.
pub fn object_id(route: &ObjectRef) -> ObjectId {
    ObjectId {
        kind: Kind::of_route(route),
        name: ObjectName::new(route.namespace.as_str(), route.name.as_str()),
    }
}

/// What has not been listed yet although decisions need it. It is waited for some seconds only.
fn starting(context: &Context, references: &References) -> Option<String> {
    let named = references.objects.iter().map(Kind::of_route);
    let mut kinds = Kind::ALWAYS.into_iter().chain(named);
    let now = Instant::now();
    let waits = |kind: &Kind| context.cache.state(kind) == KindState::Starting && now < context.patience_with(kind);
    kinds.find(waits).map(|kind| kind.label())
}

fn owned<T>(
    family: &Family,
    (state, objects): &(KindState, Vec<Arc<Stored>>),
    rollout: &Rollout,
    read: impl Fn(&Value, &Rollout) -> Option<T>,
    name: impl Fn(&T) -> String,
) -> Fact<BTreeMap<String, T>> {
    debug_assert_eq!(rollout.metadata.uid.as_deref(), Some(family.rollout.uid.as_str()));
    match state {
        KindState::Ready => {
            let read = objects.iter().filter_map(|object| read(&object.value(), rollout));
            Fact::Known(read.map(|object| (name(&object), object)).collect())
        }
        KindState::Starting => Fact::Unknown(Why::Syncing),
        KindState::Failed(why) => Fact::Unknown(why.clone()),
    }
}

fn look_up(context: &Context, id: &ObjectId) -> Fact<Arc<Stored>> {
    match context.cache.look_up(id) {
        (KindState::Ready, Some(object)) => Fact::Known(object),
        (KindState::Ready, None) => Fact::Absent,
        (KindState::Starting, _) => Fact::Unknown(Why::Syncing),
        (KindState::Failed(why), _) => Fact::Unknown(why),
    }
}

fn raw(context: &Context, id: &ObjectId) -> Fact<Value> {
    look_up(context, id).map(|object| object.value())
}

fn raw_object(context: &Context, route: &ObjectRef) -> Fact<Value> {
    // A namespaced controller does not watch other namespaces: there, nothing is known, not even absence.
    if context
        .config
        .watched_namespace
        .as_ref()
        .is_some_and(|only| *only != route.namespace)
    {
        return Fact::Unknown(Why::Forbidden);
    }
    raw(context, &object_id(route))
}

/// The templates that a Rollout names, and those which these name in turn. On the way the cache learns everything that the
/// Rollout names, before it is looked up: a change in between leads to another look.
fn templates(
    context: &Context,
    rollout: &ObjectName,
    references: &References,
) -> BTreeMap<TemplateRef, Fact<Template>> {
    let id = |template: &TemplateRef| {
        let (kind, namespace) = if template.cluster_scope {
            (Kind::ClusterTemplate, "")
        } else {
            (Kind::Template, rollout.namespace.as_str())
        };
        ObjectId {
            kind,
            name: ObjectName::new(namespace, template.name.as_str()),
        }
    };
    let services = references.services.iter().map(|service| ObjectId {
        kind: Kind::Service,
        name: ObjectName::new(rollout.namespace.as_str(), service.as_str()),
    });
    let mut names: BTreeSet<ObjectId> = services.chain(references.objects.iter().map(object_id)).collect();
    let mut wanted = references.templates.clone();
    loop {
        names.extend(wanted.iter().map(id));
        context.cache.set_names(rollout, names.clone());
        let found: BTreeMap<TemplateRef, Fact<Template>> = wanted
            .iter()
            .map(|template| (template.clone(), template_spec(context, &id(template))))
            .collect();
        let nested: BTreeSet<TemplateRef> = found
            .values()
            .filter_map(Fact::known)
            .flat_map(|template| nested(template))
            .collect();
        if nested.is_subset(&wanted) || wanted.len() >= MAX_TEMPLATES {
            return found;
        }
        wanted.extend(nested);
    }
}

fn template_spec(context: &Context, id: &ObjectId) -> Fact<Template> {
    #[derive(serde::Deserialize)]
    struct Stored {
        spec: AnalysisTemplateSpec,
    }
    match look_up(context, id) {
        Fact::Known(object) => match object.decode::<Stored>() {
            Ok(template) => Fact::Known(template.spec.into()),
            Err(error) => Fact::Unknown(Why::Undecodable(error.to_string())),
        },
        Fact::Absent => Fact::Absent,
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

fn nested(template: &AnalysisTemplateSpec) -> Vec<TemplateRef> {
    let templates = template.templates.iter().flatten();
    templates
        .map(|template| TemplateRef {
            cluster_scope: template.cluster_scope == Some(true),
            name: template.template_name.clone().unwrap_or_default(),
        })
        .collect()
}
