//! Pieces of channels and which of them are the same: the union–find under channel inference.
//!
//! A piece is a run of channels that widening treats as one; unification may cut a piece into two or bind it to another.
//! Two expressions that were unified stay equal, position by position, whatever grows later. Used by [`super::inference`].

use crate::network::NodeId;

/// Which piece.
pub(super) type PieceId = usize;

/// The channels of a piece, each as `block` consecutive positions of a tensor's channel axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub piece: PieceId,
    pub block: usize,
}

/// The channel axis of a tensor: segments one after the other.
pub(super) type Expression = Vec<Segment>;

/// Why a piece cannot be widened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fixture {
    /// Its channels are input features.
    Input,
    /// Its channels are the network's outputs.
    Output,
    /// This node's op fixes its channels, or combines them so that no one mapping serves all.
    Node(NodeId),
}

#[derive(Debug, Clone, Copy)]
enum Binding {
    Root,
    Cut(PieceId, PieceId),
    /// The same channels as another piece, each of which is a block of so many of this one.
    Same(PieceId, usize),
}

#[derive(Debug)]
struct Piece {
    units: usize,
    binding: Binding,
    fixtures: Vec<Fixture>,
    /// The node that made it and its first channel there: a name that does not depend on what was unified.
    origin: (NodeId, usize),
}

/// All pieces of one network.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    all: Vec<Piece>,
}

impl Pieces {
    /// A new piece of `units` channels made by `origin`.
    pub fn create(&mut self, origin: &NodeId, units: usize) -> Expression {
        self.all.push(Piece { units, binding: Binding::Root, fixtures: Vec::new(), origin: (origin.clone(), 0) });
        vec![Segment { piece: self.all.len() - 1, block: 1 }]
    }

    /// How many channels a piece has.
    pub fn units(&self, piece: PieceId) -> usize {
        self.all[piece].units
    }

    /// What keeps a piece from growing.
    pub fn fixtures(&self, piece: PieceId) -> &[Fixture] {
        &self.all[piece].fixtures
    }

    /// The name under which random choices for a piece are drawn.
    pub fn name(&self, piece: PieceId) -> String {
        let (node, start) = &self.all[piece].origin;
        format!("{node}@{start}")
    }

    /// How many positions a segment has.
    pub fn length(&self, segment: Segment) -> usize {
        self.units(segment.piece) * segment.block
    }

    /// The expression in pieces that are bound to no other.
    pub fn resolve(&self, expression: &[Segment]) -> Expression {
        let mut stack: Vec<Segment> = expression.iter().rev().copied().collect();
        std::iter::from_fn(|| self.pop(&mut stack)).collect()
    }

    /// Keeps everything in the expression from growing.
    pub fn fix(&mut self, expression: &[Segment], fixture: &Fixture) {
        for segment in self.resolve(expression) {
            let fixtures = &mut self.all[segment.piece].fixtures;
            if !fixtures.contains(fixture) {
                fixtures.push(fixture.clone());
            }
        }
    }

    /// Makes two expressions of one length the same. What cannot be (blocks that do not divide each other) is fixed in
    /// the name of `node`.
    pub fn unify(&mut self, left: &[Segment], right: &[Segment], node: &NodeId) {
        let mut left: Vec<Segment> = left.iter().rev().copied().collect();
        let mut right: Vec<Segment> = right.iter().rev().copied().collect();
        while let (Some(one), Some(other)) = (self.pop(&mut left), self.pop(&mut right)) {
            if one == other {
                continue;
            }
            let (length, other_length) = (self.length(one), self.length(other));
            let shared = length.min(other_length);
            let possible = one.piece != other.piece && shared % one.block == 0 && shared % other.block == 0;
            if !possible || (length == other_length && !self.bind(one, other)) {
                left.push(one);
                right.push(other);
                return self.fix(&[left, right].concat(), &Fixture::Node(node.clone()));
            }
            if length != other_length {
                let (longer, side) = if length > other_length { (one, &mut left) } else { (other, &mut right) };
                self.cut(longer.piece, shared / longer.block);
                side.push(longer);
                let (shorter, side) = if length > other_length { (other, &mut right) } else { (one, &mut left) };
                side.push(shorter);
            }
        }
    }

    /// The positions `start..end` of an expression; a piece that cannot be cut there is fixed in the name of `node`.
    pub fn range(&mut self, expression: &[Segment], start: usize, end: usize, node: &NodeId) -> Expression {
        let mut taken = Vec::new();
        let mut stack: Vec<Segment> = expression.iter().rev().copied().collect();
        let mut base = 0;
        while let Some(segment) = self.pop(&mut stack) {
            let length = self.length(segment);
            let (from, to) = (start.clamp(base, base + length) - base, end.clamp(base, base + length) - base);
            if from == to || (from, to) == (0, length) {
                base += length;
                taken.extend((from < to).then_some(segment));
                continue;
            }
            let at = if from > 0 { from } else { to };
            if at % segment.block == 0 {
                self.cut(segment.piece, at / segment.block);
                stack.push(segment);
                continue;
            }
            let fixture = Fixture::Node(node.clone());
            self.fix(&[segment], &fixture);
            let part = self.create(node, to - from);
            self.fix(&part, &fixture);
            taken.extend(part);
            base += length;
        }
        taken
    }

    /// The expression in `groups` parts of one length, cut at their borders.
    pub fn groups(&mut self, expression: &[Segment], groups: usize, node: &NodeId) -> Vec<Expression> {
        let length = expression.iter().map(|&segment| self.length(segment)).sum::<usize>() / groups;
        (0..groups).map(|group| self.range(expression, group * length, (group + 1) * length, node)).collect()
    }

    /// The next segment of a stack whose piece is bound to no other.
    fn pop(&self, stack: &mut Vec<Segment>) -> Option<Segment> {
        loop {
            let segment = stack.pop()?;
            let block = segment.block;
            match self.all[segment.piece].binding {
                Binding::Root => return Some(segment),
                Binding::Cut(first, second) => {
                    stack.extend([Segment { piece: second, block }, Segment { piece: first, block }]);
                }
                Binding::Same(piece, factor) => stack.push(Segment { piece, block: block * factor }),
            }
        }
    }

    fn cut(&mut self, piece: PieceId, at: usize) {
        let whole = &self.all[piece];
        let (node, start) = whole.origin.clone();
        let part = |units, start| Piece {
            units,
            binding: Binding::Root,
            fixtures: whole.fixtures.clone(),
            origin: (node.clone(), start),
        };
        let parts = [part(at, start), part(whole.units - at, start + at)];
        let first = self.all.len();
        self.all.extend(parts);
        self.all[piece].binding = Binding::Cut(first, first + 1);
    }

    /// Binds the segment with the smaller block to the other, of the same length; whether the blocks allow it.
    fn bind(&mut self, one: Segment, other: Segment) -> bool {
        let (kept, bound) = if one.block >= other.block { (one, other) } else { (other, one) };
        if kept.block % bound.block != 0 {
            return false;
        }
        self.all[bound.piece].binding = Binding::Same(kept.piece, kept.block / bound.block);
        let fixtures = std::mem::take(&mut self.all[bound.piece].fixtures);
        for fixture in fixtures {
            self.fix(&[kept], &fixture);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> NodeId {
        NodeId::parse(text).unwrap()
    }

    fn lengths(pieces: &Pieces, expression: &[Segment]) -> Vec<usize> {
        pieces.resolve(expression).iter().map(|&segment| pieces.length(segment)).collect()
    }

    #[test]
    fn unifying_a_concatenation_cuts_the_other_side() {
        let mut pieces = Pieces::default();
        let (a, b, sum) = (pieces.create(&id("a"), 3), pieces.create(&id("b"), 5), pieces.create(&id("c"), 8));
        let joined = [a, b].concat();
        pieces.unify(&sum, &joined, &id("add"));
        assert_eq!(lengths(&pieces, &sum), [3, 5]);
        assert_eq!(pieces.resolve(&sum), pieces.resolve(&joined));
    }

    #[test]
    fn one_tensor_twice_unifies_both_halves_of_the_other() {
        let mut pieces = Pieces::default();
        let (a, whole) = (pieces.create(&id("a"), 4), pieces.create(&id("b"), 8));
        let twice = [a.clone(), a].concat();
        pieces.unify(&whole, &twice, &id("add"));
        let resolved = pieces.resolve(&whole);
        assert_eq!(resolved.len(), 2);
        assert_eq!(resolved[0], resolved[1]);
        assert_eq!(resolved, pieces.resolve(&twice));
    }

    #[test]
    fn channels_unified_with_blocks_become_blocks() {
        let mut pieces = Pieces::default();
        let (planes, flat) = (pieces.create(&id("conv"), 3), pieces.create(&id("linear"), 12));
        let expanded: Expression = planes.iter().map(|segment| Segment { block: 4, ..*segment }).collect();
        pieces.unify(&flat, &expanded, &id("add"));
        assert_eq!(pieces.resolve(&flat), pieces.resolve(&expanded));
        assert_eq!(pieces.resolve(&flat)[0].block, 4);
    }

    #[test]
    fn blocks_that_do_not_divide_each_other_are_fixed() {
        let mut pieces = Pieces::default();
        let (a, b) = (pieces.create(&id("a"), 3), pieces.create(&id("b"), 2));
        let (a, b) = ([Segment { block: 4, ..a[0] }], [Segment { block: 6, ..b[0] }]);
        pieces.unify(&a, &b, &id("add"));
        assert_eq!(pieces.fixtures(a[0].piece), [Fixture::Node(id("add"))]);
        assert_eq!(pieces.fixtures(b[0].piece), [Fixture::Node(id("add"))]);
    }

    #[test]
    fn a_range_cuts_between_channels_and_fixes_a_block_that_it_cuts_through() {
        let mut pieces = Pieces::default();
        let a = pieces.create(&id("a"), 6);
        let taken = pieces.range(&a, 2, 5, &id("take"));
        assert_eq!((lengths(&pieces, &taken), lengths(&pieces, &a)), (vec![3], vec![2, 3, 1]));
        let expanded: Expression = a.iter().map(|segment| Segment { block: 4, ..*segment }).collect();
        let part = pieces.range(&expanded, 0, 3, &id("part"));
        assert_eq!(lengths(&pieces, &part), [3]);
        assert_eq!(pieces.fixtures(pieces.resolve(&a)[0].piece), [Fixture::Node(id("part"))]);
        assert!(pieces.fixtures(pieces.resolve(&a)[1].piece).is_empty());
    }

    #[test]
    fn what_keeps_a_piece_fixed_follows_it_into_what_it_is_unified_with() {
        let mut pieces = Pieces::default();
        let (input, a) = (pieces.create(&NodeId::input(), 4), pieces.create(&id("a"), 4));
        pieces.fix(&input, &Fixture::Input);
        pieces.unify(&a, &input, &id("add"));
        assert_eq!(pieces.fixtures(pieces.resolve(&a)[0].piece), [Fixture::Input]);
    }
}
