//! Where the images of a build may come from, if whoever starts it holds it to some places.

use mlbuild_templates::reference::is_of;

use super::PlanningError;
use crate::builder::images_read;
use crate::pin::ImageUse;
use crate::plan::{BuildPlan, Context};

/// Refuses an image of a Dockerfile that is of none of the places; `None`: there are no such places,
/// and any will do. Nothing has been asked of its registry yet.
///
/// # Errors
/// The first such image.
pub fn check_uses(uses: &[ImageUse], places: Option<&[String]>) -> Result<(), PlanningError> {
    let Some(places) = places else {
        return Ok(());
    };
    let stranger = uses.iter().find(|used| !is_of(&used.reference, places));
    match stranger {
        Some(used) => Err(elsewhere(&used.reference, places)),
        None => Ok(()),
    }
}

/// Refuses everything that a plan takes as an image and that is of none of the places: bases,
/// `COPY --from`, frontends, contexts, scanners; and contexts whose Dockerfile the builder fetches
/// itself, which nobody here has read.
///
/// # Errors
/// The first of them.
pub fn check_plan(plan: &BuildPlan, places: Option<&[String]>) -> Result<(), PlanningError> {
    let Some(places) = places else {
        return Ok(());
    };
    if plan.dockerfile.text.is_empty() {
        return Err(elsewhere("a Dockerfile that the builder fetches", places));
    }
    for (name, context) in &plan.named_contexts {
        if matches!(context, Context::OciLayout { .. }) {
            return Err(elsewhere(&format!("the OCI layout {name}"), places));
        }
    }
    match images_read(plan)?
        .iter()
        .find(|image| !is_of(image, places))
    {
        Some(image) => Err(elsewhere(image, places)),
        None => Ok(()),
    }
}

fn elsewhere(image: &str, places: &[String]) -> PlanningError {
    PlanningError::Elsewhere {
        image: image.to_owned(),
        places: places.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use mlbuild_templates::reference::is_of;

    #[test]
    fn a_place_holds_what_is_below_it_and_nothing_beside_it() {
        let places = ["ghcr.io/me", "r.example:5000/", "docker.io/library"].map(str::to_owned);
        for inside in ["ghcr.io/me/a:1", "r.example:5000/x/y@sha256:", "debian:13"] {
            let digest = "01".repeat(32);
            let inside = inside.replace("@sha256:", &format!("@sha256:{digest}"));
            assert!(is_of(&inside, &places), "{inside}");
        }
        for outside in [
            "ghcr.io/mean/a",
            "ghcr.io/you/me",
            "r.example/x",
            "r.example:50001/x",
            "evil/debian",
            "r.example:5000@evil.example/x",
            "../ghcr.io/me",
            "",
        ] {
            assert!(!is_of(outside, &places), "{outside}");
        }
    }
}
