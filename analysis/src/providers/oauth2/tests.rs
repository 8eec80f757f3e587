use serde_json::{Value, json};

use crate::providers::Environment;
use crate::providers::testing::{Answer, Played, answer, from_secret, metric, play};

fn measured(answers: Vec<Answer>) -> Played {
    let web = json!({"web": {
        "url": "https://app/health", "insecure": true,
        "authentication": {"oauth2": {
            "tokenUrl": "https://login/token", "clientId": "my id", "clientSecret": "{{args.secret}}", "scopes": ["a", "b"],
        }},
    }});
    let given = from_secret(&[("secret", "s+e:c")]);
    play(&metric("result.ok", &web), given, &Environment::default(), answers)
}

fn token(fields: &Value) -> Answer {
    answer(200, &fields.to_string())
}

#[test]
fn a_token_is_fetched_first_and_every_request_carries_it() {
    let played = measured(vec![
        token(&json!({"access_token": "t0ken", "token_type": "Bearer", "expires_in": 60})),
        answer(200, r#"{"ok":true,"echo":"t0ken"}"#),
    ]);
    assert_eq!(played.outcome(), r#"Successful {"ok":true,"echo":"*****"}"#);
    let [first, second] = played.requests.as_slice() else {
        panic!("two requests")
    };
    assert_eq!((first.method, first.url.as_str()), ("POST", "https://login/token"));
    assert_eq!(first.body.as_deref(), Some("grant_type=client_credentials&scope=a+b"));
    // `my+id:s%2Be%3Ac` in base64.
    let authorization = ("Authorization".to_owned(), "Basic bXkraWQ6cyUyQmUlM0Fj".to_owned());
    assert!(first.headers.contains(&authorization), "{:?}", first.headers);
    assert!(first.insecure && second.insecure);
    assert_eq!(second.url, "https://app/health");
    assert_eq!(
        second.headers,
        [("Authorization".to_owned(), "Bearer t0ken".to_owned())]
    );
}

#[test]
fn without_a_token_nothing_is_asked() {
    for (answer, expected) in [
        (
            answer(401, r#"{"error":"invalid_client","error_description":"s+e:c"}"#),
            "Error: the OAuth2 server answered 401: invalid_client",
        ),
        (answer(500, "<html>"), "Error: the OAuth2 server answered 500"),
        (
            answer(200, "<html>"),
            "Error: the answer of the OAuth2 server is no JSON: is tokenUrl right?",
        ),
        (
            token(&json!({"token_type": "Bearer"})),
            "Error: the answer of the OAuth2 server has no access_token",
        ),
        (
            token(&json!({"access_token": "x", "token_type": "mac"})),
            "Error: the token of the OAuth2 server is no bearer token",
        ),
        (
            token(&json!({"access_token": "x\r\nHost: y"})),
            "Error: the token of the OAuth2 server has characters that no token has",
        ),
    ] {
        let played = measured(vec![answer]);
        assert_eq!(played.outcome(), expected);
    }
}
