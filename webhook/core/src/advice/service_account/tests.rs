use super::*;

const ID: &str = "4a1d2f3c-5b6e-4d7a-8c9b-0a1b2c3d4e5f";

#[test]
fn values_are_judged_by_the_rules_of_whoever_obeys_them() {
    for (key, right, wrong, rule) in [
        (contract::ALLOWED_CLIENT_IDS, ID, "my-app", "must be client ids separated by semicolons"),
        (contract::IDENTITY_MAP, "{}", "[]", "must be a JSON object"),
        (contract::AUDIENCE, "api://x", "two words", "must be one word"),
        (contract::AUTHORITY_HOST, "https://entra.test:8443", "http://entra.test", "must be an https URL"),
    ] {
        let review = |value: &str| {
            let account = Metadata {
                annotations: [(contract::CLIENT_ID, ID), (key, value)].into_iter().collect(),
                ..Metadata::default()
            };
            review(&account, &Settings::default())
        };
        assert_eq!(review(right), [], "{key}");
        let told = review(wrong);
        assert!(told.len() == 1 && told[0].is_mistake() && told[0].as_str().contains(rule), "{key}: {told:?}");
    }
}
