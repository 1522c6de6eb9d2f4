//! Tokens of one identity under a clock that stands still.
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;

use super::*;

/// An authority whose answers a test sets.
struct Authority {
    calls: AtomicUsize,
    down: Mutex<Option<ErrorClass>>,
    lifetime: Mutex<Duration>,
}

impl Authority {
    fn new(lifetime: Duration) -> Arc<Self> {
        let (calls, down) = (AtomicUsize::new(0), Mutex::new(None));
        Arc::new(Self { calls, down, lifetime: Mutex::new(lifetime) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn set_down(&self, class: Option<ErrorClass>) {
        *self.down.lock().unwrap() = class;
    }

    fn identity(self: &Arc<Self>, source: CredentialSource) -> Arc<Identity> {
        let authority = self.clone();
        let fetch = move |_| {
            let authority = authority.clone();
            Box::pin(async move {
                let number = authority.calls.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                let down = *authority.down.lock().unwrap();
                match down {
                    Some(class) => Err(TokenError { class, message: format!("refusal {number}") }),
                    None => Ok(Token {
                        value: format!("token {number}").into(),
                        lifetime: *authority.lifetime.lock().unwrap(),
                    }),
                }
            }) as _
        };
        Arc::new(Identity::new(source, Arc::new(fetch), None))
    }
}

fn managed() -> CredentialSource {
    CredentialSource::ManagedIdentity { client_id: None }
}

async fn token(identity: &Arc<Identity>) -> String {
    identity.token().await.unwrap().expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn many_callers_make_one_request() {
    let authority = Authority::new(Duration::from_hours(1));
    let identity = authority.identity(managed());
    let tokens = join_all((0..100).map(|_| token(&identity))).await;
    assert!(tokens.iter().all(|it| it == "token 1"));
    assert_eq!(authority.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_background_before_it_ends() {
    let authority = Authority::new(Duration::from_hours(1));
    let identity = authority.identity(managed());
    token(&identity).await;
    tokio::time::sleep(Duration::from_mins(44)).await;
    assert_eq!((token(&identity).await.as_str(), authority.calls()), ("token 1", 1));
    tokio::time::sleep(Duration::from_mins(2)).await;
    let begun = Instant::now();
    assert_eq!(token(&identity).await, "token 1");
    assert!(begun.elapsed().is_zero(), "nobody waits for a renewal");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((token(&identity).await.as_str(), authority.calls()), ("token 2", 2));
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_is_down_for_ten_minutes_fails_no_call() {
    let authority = Authority::new(Duration::from_hours(1));
    let identity = authority.identity(managed());
    token(&identity).await;
    tokio::time::sleep(Duration::from_mins(45)).await;
    authority.set_down(Some(ErrorClass::Unreachable));
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(token(&identity).await, "token 1");
    }
    let calls = authority.calls() - 1;
    assert!((5..=10).contains(&calls), "{calls} requests in ten minutes");
    authority.set_down(None);
    tokio::time::sleep(Duration::from_mins(2)).await;
    token(&identity).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_ne!(token(&identity).await, "token 1");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_with_its_words_and_tried_again_later() {
    let authority = Authority::new(Duration::from_hours(1));
    authority.set_down(Some(ErrorClass::Unauthorized));
    let identity = authority.identity(managed());
    for _ in 0..50 {
        let error = identity.token().await.unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Unauthorized, "refusal 1"));
    }
    assert_eq!(authority.calls(), 1);
    authority.set_down(None);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(token(&identity).await, "token 2");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_file_ends_the_wait_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let authority = Authority::new(Duration::from_hours(1));
    authority.set_down(Some(ErrorClass::Unauthorized));
    let identity = authority.identity(CredentialSource::WorkloadIdentity {
        tenant_id: "t".to_owned(),
        client_id: "c".to_owned(),
        token_file: file.path().to_owned(),
    });
    identity.token().await.unwrap_err();
    identity.token().await.unwrap_err();
    assert_eq!(authority.calls(), 1);
    authority.set_down(None);
    std::fs::write(file.path(), "new").unwrap();
    assert_eq!(token(&identity).await, "token 2");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_callers() {
    let authority = Authority::new(Duration::from_hours(1));
    let identity = authority.identity(managed());
    let first = identity.token().await.unwrap();
    let replaced = join_all((0..20).map(|_| identity.replace(&first))).await;
    assert!(replaced.iter().all(|it| it.as_ref().unwrap().expose() == "token 2"));
    assert_eq!(authority.calls(), 2);
    let second = identity.token().await.unwrap();
    assert_eq!(identity.replace(&second).await.unwrap(), second, "its age is not the reason");
    assert_eq!(authority.calls(), 2);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(identity.replace(&second).await.unwrap().expose(), "token 3");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_five_minutes_off_does_no_harm() {
    // Ahead of the authority: a token of four minutes looks ended when it comes.
    let authority = Authority::new(Duration::ZERO);
    let identity = authority.identity(managed());
    for _ in 0..30 {
        token(&identity).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(authority.calls(), 1);
    // Behind it: a token of an hour looks as if it had five minutes more, and is renewed well before it ends.
    let authority = Authority::new(Duration::from_mins(65));
    let identity = authority.identity(managed());
    token(&identity).await;
    tokio::time::sleep(Duration::from_mins(51)).await;
    token(&identity).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(authority.calls(), 2);
}
