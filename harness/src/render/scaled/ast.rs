//! The same division on the parsed expression, as proof of the text.

use std::time::Duration;

use promql_parser::parser::{Expr, Offset, VectorSelector};

/// The expression with every range, offset and step divided.
pub(super) fn divided(expr: Expr, by: u32) -> Expr {
    let inner = |boxed: Box<Expr>| Box::new(divided(*boxed, by));
    match expr {
        Expr::Aggregate(mut e) => {
            e.expr = inner(e.expr);
            e.param = e.param.map(inner);
            Expr::Aggregate(e)
        }
        Expr::Unary(mut e) => {
            e.expr = inner(e.expr);
            Expr::Unary(e)
        }
        Expr::Binary(mut e) => {
            e.lhs = inner(e.lhs);
            e.rhs = inner(e.rhs);
            Expr::Binary(e)
        }
        Expr::Paren(mut e) => {
            e.expr = inner(e.expr);
            Expr::Paren(e)
        }
        Expr::Subquery(mut e) => {
            e.expr = inner(e.expr);
            e.range /= by;
            e.step = e.step.map(|step| step / by);
            e.offset = e.offset.map(|o| offset(&o, by));
            Expr::Subquery(e)
        }
        Expr::VectorSelector(e) => Expr::VectorSelector(selector(e, by)),
        Expr::MatrixSelector(mut e) => {
            e.range /= by;
            e.vs = selector(e.vs, by);
            Expr::MatrixSelector(e)
        }
        Expr::Call(mut e) => {
            e.args.args = e.args.args.into_iter().map(inner).collect();
            Expr::Call(e)
        }
        other @ (Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_)) => other,
    }
}

fn selector(mut selector: VectorSelector, by: u32) -> VectorSelector {
    selector.offset = selector.offset.map(|o| offset(&o, by));
    selector
}

fn offset(offset: &Offset, by: u32) -> Offset {
    let part = |duration: &Duration| *duration / by;
    match offset {
        Offset::Pos(duration) => Offset::Pos(part(duration)),
        Offset::Neg(duration) => Offset::Neg(part(duration)),
    }
}

/// The functions an expression calls, each once, in order.
pub(super) fn functions(expr: &Expr) -> Vec<String> {
    let mut found = Vec::new();
    collect(expr, &mut found);
    found
}

fn collect(expr: &Expr, found: &mut Vec<String>) {
    match expr {
        Expr::Aggregate(e) => {
            collect(&e.expr, found);
            if let Some(param) = &e.param {
                collect(param, found);
            }
        }
        Expr::Unary(e) => collect(&e.expr, found),
        Expr::Binary(e) => {
            collect(&e.lhs, found);
            collect(&e.rhs, found);
        }
        Expr::Paren(e) => collect(&e.expr, found),
        Expr::Subquery(e) => collect(&e.expr, found),
        Expr::Call(e) => {
            let name = e.func.name.to_string();
            if !found.contains(&name) {
                found.push(name);
            }
            for arg in &e.args.args {
                collect(arg, found);
            }
        }
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
}
