//! `promote`, `promotion`, `approve`, `reject`, `override` and `skip`: everything that is promoted, in front of the people who decide.
mod report;
mod request;
mod vote;

use api::meta::PROMOTION_ACTION_ANNOTATION;
use api::{Model, ModelPromotion};
use jiff::Timestamp;

use crate::arguments::{Global, PromotionOptions};
use crate::connect::{self, Cluster, Problem};
use crate::failure::{Failure, Outcome};
use crate::objects;
use crate::output::{self, Style};

use self::report::Report;
pub(crate) use self::request::promote;
pub(crate) use self::vote::{approve, go_beyond, reject, skip};
use crate::word::{self, Word};

/// Shows a promotion, after a word about it if there is one.
pub(crate) async fn run(
    global: &Global,
    options: &PromotionOptions,
    style: Style,
) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    for (is_said, what) in [(options.retry, "retry"), (options.abort, "abort")] {
        if is_said && !steer(&cluster, &options.name, what).await? {
            output::print(&word::unheard(&what))?;
            return Ok(Outcome::Unhealthy);
        }
    }
    let report = look(&cluster, &options.name).await?;
    output::print(&output::document(global.output, &report, |report| report.render(style))?)?;
    Ok(Outcome::from_health(!report.phase.is_over() || report.is_ready))
}

/// Says a word about a promotion; whether it was heard.
async fn steer(cluster: &Cluster, name: &str, what: &'static str) -> Result<bool, Failure> {
    let api = objects::scoped::<ModelPromotion>(cluster, Some(&cluster.namespace));
    let report = look(cluster, name).await?;
    if report.phase.is_over() {
        let phase = report.phase;
        return Err(Failure::Error(format!("{what} makes no sense now: ModelPromotion {name} is {phase:?}")));
    }
    let word = Word::new(PROMOTION_ACTION_ANNOTATION, &what, Timestamp::now());
    word.say(cluster, &api, name).await?;
    Ok(word.heard(&api, name, handled).await?.is_some())
}

fn handled(promotion: &ModelPromotion) -> Option<&str> {
    promotion.status.as_ref()?.handled_action.as_deref()
}

/// What is known of a promotion, and of what runs now.
async fn look(cluster: &Cluster, name: &str) -> Result<Report, Failure> {
    let promotions = objects::scoped::<ModelPromotion>(cluster, Some(&cluster.namespace));
    let promotion = cluster.ask(promotions.get(name)).await.map_err(|problem| {
        Failure::Error(match problem {
            Problem::NotFound(_) => format!(
                "there is no ModelPromotion {name} in namespace {}; `kubectl get modelpromotions` lists them",
                cluster.namespace
            ),
            Problem::Forbidden(message) | Problem::Other(message) => message,
        })
    })?;
    let models = objects::scoped::<Model>(cluster, Some(&cluster.namespace));
    // Who may see the promotion and not the Model is told less.
    let model = cluster.ask(models.get_opt(&promotion.spec.model.name)).await.ok().flatten();
    Ok(Report::new(&promotion, model.as_ref()))
}
