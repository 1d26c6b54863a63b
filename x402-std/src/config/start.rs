use super::OnStart;
use super::error::{Origin, Problem};
use super::raw::Text;

pub(super) fn check_start(text: Option<&Text>) -> Result<OnStart, Problem> {
    let Some(text) = text else { return Ok(OnStart::Wait) };
    match text.value.as_str() {
        "wait" => Ok(OnStart::Wait),
        "exit" => Ok(OnStart::Exit),
        other => {
            let known = ["wait", "exit"];
            Err(Problem::unknown(Origin::of(text), "way to start", other, &known))
        }
    }
}
