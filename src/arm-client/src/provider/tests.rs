//! What failures to get a token come to.
use azure_core::Error;

use super::*;

fn refused(status: u16, words: &str) -> TokenError {
    let kind = ErrorKind::HttpResponse { status: status.into(), error_code: None, raw_response: None };
    let inner = Error::new(kind, words.to_owned());
    let message = format!(
        "ClientSecretCredential authentication failed. {inner}\nTo troubleshoot, visit https://aka.ms/x"
    );
    token_error(&Error::with_error(ErrorKind::Credential, inner, message))
}

#[test]
fn the_authority_s_words_are_kept_and_sorted() {
    let cases = [
        (401, "AADSTS7000215: Invalid client secret provided. Trace ID: 1", ErrorClass::Unauthorized),
        (401, "AADSTS7000222: The provided client secret keys are expired.", ErrorClass::Unauthorized),
        (400, "AADSTS90002: Tenant 'x' not found.", ErrorClass::WrongTenant),
        (400, "AADSTS700016: Application with identifier 'c' was not found.", ErrorClass::WrongTenant),
        (503, "AADSTS90033: A transient error has occurred.", ErrorClass::Unreachable),
        (429, "slow down", ErrorClass::Unreachable),
    ];
    for (status, words, class) in cases {
        let error = refused(status, words);
        assert_eq!(error.class, class, "{words}");
        let expected = format!("ClientSecretCredential authentication failed. {words}");
        assert_eq!(error.message, expected);
    }
}

#[test]
fn an_authority_that_can_t_be_reached_is_told_from_a_refusal() {
    let inner = Error::with_message(ErrorKind::Connection, "connection refused");
    let error = token_error(&Error::with_error(ErrorKind::Credential, inner, "failed"));
    assert_eq!(error.class, ErrorClass::Unreachable);
    assert_eq!(error.message, "failed: connection refused");
}
