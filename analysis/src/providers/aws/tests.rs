use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::args::Secrets;
use crate::providers::testing::{Played, answer, metric, play};

const KEYS: [(&str, &str); 3] = [
    (ACCESS_KEY, "AKIDEXAMPLE"),
    (SECRET_KEY, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    (REGION, "us-east-1"),
];

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment {
        variables: variables.collect(),
        web_identity_token: None,
    }
}

fn measured(environment: &Environment, sigv4: serde_json::Value, answers: &[(u16, &str)]) -> Played {
    let prometheus = json!({"prometheus": {
        "address": "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/w", "query": "up",
        "authentication": {"sigv4": sigv4},
    }});
    let answers = answers.iter().map(|(status, body)| answer(*status, body)).collect();
    play(
        &metric("result[0] == 1", &prometheus),
        (vec![], Secrets::default()),
        environment,
        answers,
    )
}

const UP: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#;

fn credentials_xml(key: &str) -> String {
    format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>secret-{key}</SecretAccessKey><SessionToken>token-{key}</SessionToken>\
         <Expiration>2026-01-02T13:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

fn headers(request: &HttpRequest) -> BTreeMap<&str, &str> {
    request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// The example of AWS' own documentation of Signature Version 4 ("Create a signed AWS API request").
#[test]
fn a_request_is_signed_as_aws_documents_it() {
    let request = HttpRequest {
        method: "GET",
        url: "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08".to_owned(),
        headers: vec![(
            "content-type".to_owned(),
            "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
        )],
        body: None,
        timeout: TIMEOUT,
        insecure: false,
        body_limit: 1,
    };
    let credentials = Credentials {
        access_key: KEYS[0].1.to_owned(),
        secret_key: KEYS[1].1.to_owned(),
        session_token: None,
    };
    let now = "2015-08-30T12:36:00Z".parse().unwrap();
    let signed = signature(now, "iam", "us-east-1", &credentials, &request).unwrap();
    let signed: BTreeMap<_, _> = signed.into_iter().collect();
    assert_eq!(signed["x-amz-date"], "20150830T123600Z");
    assert_eq!(
        signed["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn keys_of_the_environment_sign_a_query_to_prometheus() {
    let played = measured(&environment(&KEYS), json!({"region": "eu-west-1"}), &[(200, UP)]);
    assert_eq!(played.outcome(), "Successful [1]");
    let authorization = headers(&played.requests[0])["authorization"];
    let scope =
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/aps/aws4_request, SignedHeaders=content-type;host;";
    assert!(authorization.starts_with(scope), "{authorization}");
}

#[test]
fn a_web_identity_becomes_credentials_and_a_role_is_assumed_with_them() {
    let mut environment = environment(&[(ROLE, "arn:aws:iam::1:role/own"), (DEFAULT_REGION, "us-east-1")]);
    environment.web_identity_token = Some("jwt-of-the-pod\n".to_owned());
    let role = json!({"roleArn": "arn:aws:iam::2:role/other"});
    let played = measured(
        &environment,
        role,
        &[
            (200, &credentials_xml("FIRST")),
            (200, &credentials_xml("SECOND")),
            (200, UP),
        ],
    );
    assert_eq!(played.outcome(), "Successful [1]");
    let [identity, role, query] = played.requests.as_slice() else {
        panic!("three requests")
    };
    assert_eq!(identity.url, "https://sts.us-east-1.amazonaws.com/");
    assert_eq!(
        identity.body.as_deref(),
        Some(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fown&\
             RoleSessionName=sluice&WebIdentityToken=jwt-of-the-pod"
        )
    );
    assert!(!headers(identity).contains_key("authorization"));
    assert!(
        role.body.as_deref().unwrap().contains("Action=AssumeRole&"),
        "{:?}",
        role.body
    );
    let signed = headers(role);
    assert!(signed["authorization"].contains("Credential=FIRST/20260102/us-east-1/sts/"));
    assert_eq!(signed["x-amz-security-token"], "token-FIRST");
    assert!(headers(query)["authorization"].contains("Credential=SECOND/20260102/us-east-1/aps/"));
}

#[test]
fn without_credentials_it_is_said_what_is_missing() {
    let nothing = environment(&[(REGION, "us-east-1")]);
    let expected = "Error: provider.prometheus.authentication.sigv4: the controller has no credentials for AWS: set \
                    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE";
    assert_eq!(measured(&nothing, json!({}), &[]).outcome(), expected);
    let expected =
        "Error: provider.prometheus.authentication.sigv4: no region: give one, or set AWS_REGION for the controller";
    assert_eq!(measured(&environment(&KEYS[..2]), json!({}), &[]).outcome(), expected);
    let evil = json!({"region": "x.evil.example/"});
    let expected = "Error: provider.prometheus.authentication.sigv4: the region is none: it looks like us-east-1";
    assert_eq!(measured(&environment(&KEYS), evil, &[]).outcome(), expected);
    let role = json!({"roleArn": "arn:aws:iam::2:role/other"});
    let refused = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    for (status, body, expected) in [
        (
            403,
            refused,
            "Error: AWS gave no credentials: it answered 403 (AccessDenied)",
        ),
        (500, "", "Error: AWS gave no credentials: it answered 500"),
        (200, "<html>", "Error: AWS gave no credentials: the answer has none"),
    ] {
        let played = measured(&environment(&KEYS), role.clone(), &[(status, body)]);
        assert_eq!(played.outcome(), expected);
    }
}

#[test]
fn china_has_addresses_of_its_own() {
    assert_eq!(
        endpoint("monitoring", "eu-west-1"),
        "https://monitoring.eu-west-1.amazonaws.com/"
    );
    assert_eq!(
        endpoint("sts", "cn-north-1"),
        "https://sts.cn-north-1.amazonaws.com.cn/"
    );
}
