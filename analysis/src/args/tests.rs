use proptest::prelude::*;
use serde_json::json;
use sluice_crds::{FieldRef, MetricProvider, PrometheusMetric, RolloutArgumentValueFrom, SecretKeyRef, ValueFrom};

use super::*;

fn value(name: &str, value: &str) -> Argument {
    Argument {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

fn open(name: &str) -> Argument {
    Argument {
        name: name.to_owned(),
        ..Argument::default()
    }
}

fn secret(name: &str) -> Argument {
    let reference = SecretKeyRef {
        name: "prometheus".to_owned(),
        key: "token".to_owned(),
    };
    let from = ValueFrom {
        secret_key_ref: Some(reference),
        ..ValueFrom::default()
    };
    Argument {
        name: name.to_owned(),
        value: None,
        value_from: Some(from),
    }
}

fn secrets(value: &str) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert(
        SecretRef {
            name: "prometheus".to_owned(),
            key: "token".to_owned(),
        },
        value.to_owned(),
    );
    secrets
}

fn metric(query: &str) -> Metric {
    let prometheus = PrometheusMetric {
        query: Some(query.to_owned()),
        ..PrometheusMetric::default()
    };
    Metric {
        name: "m".to_owned(),
        provider: MetricProvider {
            prometheus: Some(prometheus),
            ..MetricProvider::default()
        },
        ..Metric::default()
    }
}

fn query(metric: &Metric) -> &str {
    metric
        .provider
        .prometheus
        .as_ref()
        .and_then(|prometheus| prometheus.query.as_deref())
        .unwrap_or_default()
}

#[test]
fn arguments_are_filled_in_wherever_they_stand() {
    let args = [
        value("app", "shop"),
        value("n", "3"),
        value("quote", r#"a"b\c"#),
        value("nested", "{{args.app}}"),
    ];
    for (text, expected) in [
        ("up", Ok("up")),
        ("{{args.app}}", Ok("shop")),
        ("{{ args.app }}", Ok("shop")),
        (r#"up{app="{{args.app}}"} > {{args.n}}"#, Ok(r#"up{app="shop"} > 3"#)),
        ("{{args.app}}{{args.app}}", Ok("shopshop")),
        ("{{args.quote}}", Ok(r#"a"b\c"#)),
        ("{{args.nested}}", Ok("{{args.app}}")),
        ("}} {{args.app}}", Ok("}} shop")),
        ("{{args.missing}}", Err("failed to resolve {{args.missing}}")),
        ("{{ args.missing }}", Err("failed to resolve {{args.missing}}")),
        ("{{inputs.app}}", Err("failed to resolve {{inputs.app}}")),
        ("{{}}", Err("failed to resolve {{}}")),
        ("{{args.app", Err("`{{` has no closing `}}` in `{{args.app`")),
    ] {
        let resolved = resolve(&metric(text), &args, None).map_err(|error| error.to_string());
        assert_eq!(resolved.as_ref().map(query).map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn limits_and_conditions_are_filled_in_too() {
    let metric: Metric = serde_json::from_value(json!({
        "name": "{{args.name}}", "count": "{{args.n}}", "failureLimit": "{{ args.n }}", "interval": "{{args.n}}s",
        "successCondition": "result[0] >= {{args.n}}",
        "provider": {"prometheus": {"query": "up", "headers": [{"key": "X-Team", "value": "{{args.name}}"}]}},
    }))
    .unwrap();
    let resolved = resolve(&metric, &[value("n", "3"), value("name", "a")], None).unwrap();
    assert_eq!(
        serde_json::to_value(resolved).unwrap(),
        json!({
            "name": "a", "count": "3", "failureLimit": "3", "interval": "3s", "successCondition": "result[0] >= 3",
            "provider": {"prometheus": {"query": "up", "headers": [{"key": "X-Team", "value": "a"}]}},
        })
    );
}

#[test]
fn secrets_are_filled_in_only_where_their_values_are_given() {
    let metric = metric("up{token='{{args.token}}'}");
    let args = [secret("token")];
    let query_of = |secrets: Option<&Secrets>| resolve(&metric, &args, secrets).map(|metric| query(&metric).to_owned());
    assert_eq!(query_of(None), Ok("up{token='{{args.token}}'}".to_owned()));
    assert_eq!(
        query_of(Some(&secrets("hunter2"))),
        Ok("up{token='hunter2'}".to_owned())
    );
    assert_eq!(
        query_of(Some(&Secrets::default())).unwrap_err().to_string(),
        "args.token: Secret `prometheus` with key `token` could not be read"
    );
    assert_eq!(
        secret_refs(&args).into_iter().collect::<Vec<_>>(),
        [SecretRef {
            name: "prometheus".to_owned(),
            key: "token".to_owned()
        }]
    );
}

#[test]
fn secrets_are_taken_out_of_texts_in_every_form_they_are_quoted_in() {
    let mut secrets = secrets("a\"b\n");
    secrets.insert(
        SecretRef {
            name: "x".to_owned(),
            key: "y".to_owned(),
        },
        "long a\"b\n text".to_owned(),
    );
    secrets.insert(
        SecretRef {
            name: "x".to_owned(),
            key: "empty".to_owned(),
        },
        String::new(),
    );
    for (text, expected) in [
        ("nothing here", "nothing here"),
        ("<a\"b\n>", "<*****>"),
        (r#"<a\"b\n>"#, "<*****>"),
        ("<a\"b>", "<*****>"),
        ("<long a\"b\n text>", "<*****>"),
    ] {
        assert_eq!(secrets.scrub(text), expected);
    }
    assert_eq!(format!("{secrets:?}"), "Secrets(3 values)");
}

type Row<'a> = (&'a [Argument], &'a [Argument], Result<Vec<Argument>, &'a str>);

#[test]
fn a_runs_arguments_are_the_templates_with_the_supplied_values() {
    let both = Argument {
        value: Some("x".to_owned()),
        ..secret("both")
    };
    let rows: [Row<'_>; 8] = [
        (&[], &[], Ok(vec![])),
        (&[value("a", "1")], &[], Ok(vec![value("a", "1")])),
        (&[value("a", "1")], &[value("a", "2")], Ok(vec![value("a", "2")])),
        (
            &[open("a")],
            &[value("a", "2"), value("other", "3")],
            Ok(vec![value("a", "2")]),
        ),
        (&[secret("a")], &[value("a", "2")], Ok(vec![value("a", "2")])),
        (
            &[value("a", "1"), secret("b")],
            &[open("a")],
            Ok(vec![value("a", "1"), secret("b")]),
        ),
        (
            &[open("a"), open("b"), value("c", "1")],
            &[],
            Err("args.a was not resolved; args.b was not resolved"),
        ),
        (
            &[both],
            &[],
            Err("args.both has several sources: set either value or one field of valueFrom"),
        ),
    ];
    for (template, supplied, expected) in rows {
        let merged = merge(template, supplied, None);
        let merged = merged.map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        assert_eq!(
            merged.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|text| *text)
        );
    }
}

#[test]
fn a_templates_field_reference_points_into_the_rollout() {
    let reference = FieldRef {
        field_path: "metadata.name".to_owned(),
    };
    let from = ValueFrom {
        field_ref: Some(reference),
        ..ValueFrom::default()
    };
    let arg = Argument {
        name: "app".to_owned(),
        value: None,
        value_from: Some(from),
    };
    let rollout = json!({"metadata": {"name": "shop"}});
    assert_eq!(
        merge(std::slice::from_ref(&arg), &[], Some(&rollout)),
        Ok(vec![value("app", "shop")])
    );
    assert_eq!(merge(&[arg], &[], None), Err(vec![ArgError::NoValue("app".to_owned())]));
}

fn from_rollout(name: &str, from: RolloutArgumentValueFrom) -> RolloutAnalysisArgument {
    RolloutAnalysisArgument {
        name: name.to_owned(),
        value: None,
        value_from: Some(from),
    }
}

fn from_hash(name: &str, of: &str) -> RolloutAnalysisArgument {
    let of = Some(PodTemplateHashOf::from(of));
    from_rollout(
        name,
        RolloutArgumentValueFrom {
            pod_template_hash_value: of,
            ..RolloutArgumentValueFrom::default()
        },
    )
}

fn from_field(name: &str, path: &str) -> RolloutAnalysisArgument {
    let reference = Some(FieldRef {
        field_path: path.to_owned(),
    });
    from_rollout(
        name,
        RolloutArgumentValueFrom {
            field_ref: reference,
            ..RolloutArgumentValueFrom::default()
        },
    )
}

#[test]
fn a_rollouts_arguments_come_from_values_hashes_and_fields() {
    let rollout = json!({"metadata": {"name": "shop", "labels": {"app": "web"}}, "spec": {"replicas": 3}});
    let plain = |name: &str, value: Option<&str>| RolloutAnalysisArgument {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        value_from: None,
    };
    let args = [
        plain("v", Some("1")),
        plain("default", None),
        from_hash("stable", "Stable"),
        from_hash("latest", "Latest"),
        from_field("name", "metadata.name"),
        from_field("app", "metadata.labels['app']"),
        from_field("replicas", "spec.replicas"),
    ];
    let expected = [
        value("v", "1"),
        open("default"),
        value("stable", "old"),
        value("latest", "new"),
        value("name", "shop"),
        value("app", "web"),
        value("replicas", "3"),
    ];
    assert_eq!(
        resolve_rollout_args(&rollout, &args, "old", "new"),
        Ok(expected.to_vec())
    );
}

#[test]
fn all_problems_of_a_rollouts_arguments_are_reported() {
    let both = RolloutAnalysisArgument {
        value: Some("1".to_owned()),
        ..from_hash("both", "Latest")
    };
    let args = [from_hash("h", "Newest"), from_field("f", "spec.nothing"), both];
    let problems = resolve_rollout_args(&json!({"spec": {}}), &args, "old", "new").unwrap_err();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "args.h.valueFrom.podTemplateHashValue is `Newest`, it must be Stable or Latest",
            "args.f: invalid path spec.nothing in rollout",
            "args.both has several sources: set either value or one field of valueFrom",
        ]
    );
}

proptest! {
    #[test]
    fn a_value_changes_nothing_but_the_string_it_is_put_into(text in "\\PC{0,40}", tail in "[a-z\"\\\\{}]{0,9}") {
        let raw = json!({
            "name": "m", "successCondition": "result[0] > 1",
            "provider": {"prometheus": {"address": "http://p", "query": "{{args.x}}"}},
        });
        let hostile = format!("{text}{tail}\",\"insecure\":true,\"x\":\"");
        let metric: Metric = serde_json::from_value(raw).unwrap();
        let resolved = resolve(&metric, &[value("x", &hostile)], None).unwrap();
        let mut expected = metric;
        expected.provider.prometheus.as_mut().unwrap().query = Some(hostile);
        prop_assert_eq!(resolved, expected);
    }

    #[test]
    fn no_text_makes_filling_in_panic(text in "[a-z{}. ]{0,40}") {
        let _ = resolve(&metric(&text), &[value("a", "1")], None);
    }

    #[test]
    fn a_secret_never_survives_scrubbing(secret in "[a-z\"\\\\]{3,12}", before in "[A-Z]{0,9}", after in "[A-Z]{0,9}") {
        let scrubbed = secrets(&secret).scrub(&format!("{before}{secret}{after}"));
        prop_assert_eq!(scrubbed, format!("{before}*****{after}"));
    }
}

#[test]
fn what_is_no_name_of_an_object_is_never_part_of_a_path() {
    for (name, expected) in [
        ("token", true),
        ("my.token-2", true),
        ("", false),
        ("..", false),
        ("../configmaps/x", false),
        ("a/b", false),
        ("a?b", false),
        ("a%2fb", false),
        ("A", false),
    ] {
        assert_eq!(is_object_name(name), expected, "{name}");
    }
}
