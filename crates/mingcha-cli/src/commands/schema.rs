//! `mingcha schema`: JSON Schema (draft-07) of rules, views, packs and contracts, for editors.

use super::Context;
use crate::args::{Schema, SchemaOf};
use crate::exit::{Exit, Outcome};

pub(super) fn run(context: &Context, args: &Schema) -> Outcome {
    context.screen.json(&match args.of {
        SchemaOf::Rule => mingcha_rules::schema::rule(),
        SchemaOf::View => mingcha_rules::schema::view(),
        SchemaOf::Pack => mingcha_rules::schema::pack(),
        SchemaOf::Contract => mingcha_rules::schema::contract(),
    });
    Ok(Exit::Done)
}
