//! `promotion`, `approve` and `reject`: everything that is promoted, in front of the people who decide.
mod report;
mod vote;

use api::{Model, ModelPromotion};

use crate::arguments::{Global, PromotionOptions};
use crate::connect::{self, Cluster, Problem};
use crate::failure::{Failure, Outcome};
use crate::objects;
use crate::output::{self, Style};

use self::report::Report;
pub(crate) use self::vote::{approve, reject};

/// Shows a promotion.
pub(crate) async fn run(
    global: &Global,
    options: &PromotionOptions,
    style: Style,
) -> Result<Outcome, Failure> {
    let cluster = connect::connect(global).await?;
    let report = look(&cluster, &options.name).await?;
    output::print(&output::document(global.output, &report, |report| report.render(style))?)?;
    Ok(Outcome::from_health(!report.phase.is_over() || report.is_ready))
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
