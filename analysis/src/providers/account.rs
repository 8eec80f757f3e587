//! Accounts: Secrets that say who asks a service, and where it is.
//!
//! They are read in the namespace of the run and nowhere else. So nobody can have a template ask with an account of another
//! namespace, and the controller needs no Secrets of its own.

use super::shared::{self, check_address};
use super::{Context, Needs, ProviderError};
use crate::args::{SecretRef, is_object_name, is_open};

/// A Secret with an account of a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account<'a> {
    /// The provider, as its field is called.
    pub provider: &'static str,
    /// Name of the Secret.
    pub secret: &'a str,
}

impl Account<'_> {
    /// What is wrong with the name of the Secret, which stands in `field`.
    pub(super) fn check(&self, field: &str) -> Result<(), ProviderError> {
        if is_open(self.secret) || is_object_name(self.secret) {
            return Ok(());
        }
        let problem = "is not the name of a Secret: lower-case letters, digits, `-` and `.`";
        Err(shared::invalid(self.provider, field, problem))
    }

    /// Adds the keys that are wanted: `secrets` are shown nowhere. A name that no Secret can have is not asked for.
    pub(super) fn add_needs(&self, needs: &mut Needs, secrets: &[&str], settings: &[&str]) {
        if is_object_name(self.secret) {
            needs.secrets.extend(secrets.iter().map(|key| self.reference(key)));
            needs.settings.extend(settings.iter().map(|key| self.reference(key)));
        }
    }

    /// The value of a key that must be there.
    pub(super) fn value(&self, context: &Context<'_>, key: &str) -> Result<String, ProviderError> {
        let problem = |problem: &str| {
            let problem = format!("Secret `{}` with key `{key}` {problem}", self.secret);
            shared::invalid(self.provider, "", &problem)
        };
        let value = context.secrets.get(&self.reference(key)).map(str::trim);
        let value = value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| problem("could not be read in the namespace of the run"))?;
        if value.chars().any(char::is_control) {
            return Err(problem("has line breaks or control characters in it"));
        }
        Ok(value.to_owned())
    }

    /// The value of a key that may be absent.
    pub(super) fn optional(&self, context: &Context<'_>, key: &str) -> Result<Option<String>, ProviderError> {
        let value = context.secrets.get(&self.reference(key));
        match value.filter(|value| !value.trim().is_empty()) {
            Some(_) => self.value(context, key).map(Some),
            None => Ok(None),
        }
    }

    /// A value that is the address of a server, without a slash at its end.
    pub(super) fn address(&self, address: &str, key: &str, example: &str) -> Result<String, ProviderError> {
        match check_address(address, example) {
            Ok(()) => Ok(address.trim_end_matches('/').to_owned()),
            Err(problem) => {
                let problem = format!("Secret `{}` with key `{key}` {problem}", self.secret);
                Err(shared::invalid(self.provider, "", &problem))
            }
        }
    }

    fn reference(&self, key: &str) -> SecretRef {
        SecretRef {
            name: self.secret.to_owned(),
            key: key.to_owned(),
        }
    }
}
