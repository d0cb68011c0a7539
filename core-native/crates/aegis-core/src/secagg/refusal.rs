//! Why a node does not go on: a closed list that the guard shows to its owner and tests name.

use crate::error::{Code, Error};

/// The strings are a contract with every binding: append, never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Fewer nodes in the roster than the owner's floor.
    CohortBelowFloor,
    /// The threshold would let the assumed colluders, or a server with two stories, open one node's input.
    ThresholdBelowFloor,
    /// Fewer survivors than the owner's floor: the sum would be of too few.
    SurvivorsBelowFloor,
    /// A node is in one list twice.
    NodeTwice,
    /// Two nodes of one certificate subject.
    SubjectTwice,
    /// Two adverts with one public key.
    KeyTwice,
    /// This node's own advert came back changed, or not at all.
    KeySubstituted,
    /// A public key with which everybody shares zero.
    KeyUnusable,
    AdvertUnsigned,
    AdvertExpired,
    /// A node that is not in the roster, or not among the neighbours.
    UnknownNode,
    /// Two sealed shares of one sender.
    ShareTwice,
    /// A sealed share that does not open: changed on the way, or of another pair, direction or round.
    ShareBroken,
    /// A survivor or a dropped node whose share never came.
    ShareMissing,
    TooFewShares,
    /// A survivor set without this node, though it delivered.
    NotAmongSurvivors,
    /// A node both surviving and dropped: both its secrets would come out.
    InBothLists,
    /// Another survivor set than the one this node confirmed.
    SecondSurvivorSet,
    /// A peer confirmed another survivor set.
    SurvivorsDiffer,
    /// A peer confirmed another model.
    ModelDiffers,
    ConfirmationUnsigned,
    TooFewConfirmations,
    /// A message of another run, round or plan.
    OtherRound,
    /// A second, different request for a stage already answered.
    SecondRequest,
    /// A request of a stage before the one answered last.
    GoingBack,
    /// A request of a stage that is not next.
    OutOfOrder,
    /// The same request again, whose answer is too large to be kept here: the caller sends what it kept.
    AnsweredBefore,
    /// An earlier refusal ended this round for the node.
    Ended,
    /// The journal does not hold the state of this round any more.
    StateLost,
    /// The vector to be masked is not the plan's.
    VectorMismatch,
}

impl Refusal {
    pub const ALL: [Self; 30] = [
        Self::CohortBelowFloor,
        Self::ThresholdBelowFloor,
        Self::SurvivorsBelowFloor,
        Self::NodeTwice,
        Self::SubjectTwice,
        Self::KeyTwice,
        Self::KeySubstituted,
        Self::KeyUnusable,
        Self::AdvertUnsigned,
        Self::AdvertExpired,
        Self::UnknownNode,
        Self::ShareTwice,
        Self::ShareBroken,
        Self::ShareMissing,
        Self::TooFewShares,
        Self::NotAmongSurvivors,
        Self::InBothLists,
        Self::SecondSurvivorSet,
        Self::SurvivorsDiffer,
        Self::ModelDiffers,
        Self::ConfirmationUnsigned,
        Self::TooFewConfirmations,
        Self::OtherRound,
        Self::SecondRequest,
        Self::GoingBack,
        Self::OutOfOrder,
        Self::AnsweredBefore,
        Self::Ended,
        Self::StateLost,
        Self::VectorMismatch,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CohortBelowFloor => "COHORT_BELOW_FLOOR",
            Self::ThresholdBelowFloor => "THRESHOLD_BELOW_FLOOR",
            Self::SurvivorsBelowFloor => "SURVIVORS_BELOW_FLOOR",
            Self::NodeTwice => "NODE_TWICE",
            Self::SubjectTwice => "SUBJECT_TWICE",
            Self::KeyTwice => "KEY_TWICE",
            Self::KeySubstituted => "KEY_SUBSTITUTED",
            Self::KeyUnusable => "KEY_UNUSABLE",
            Self::AdvertUnsigned => "ADVERT_UNSIGNED",
            Self::AdvertExpired => "ADVERT_EXPIRED",
            Self::UnknownNode => "UNKNOWN_NODE",
            Self::ShareTwice => "SHARE_TWICE",
            Self::ShareBroken => "SHARE_BROKEN",
            Self::ShareMissing => "SHARE_MISSING",
            Self::TooFewShares => "TOO_FEW_SHARES",
            Self::NotAmongSurvivors => "NOT_AMONG_SURVIVORS",
            Self::InBothLists => "IN_BOTH_LISTS",
            Self::SecondSurvivorSet => "SECOND_SURVIVOR_SET",
            Self::SurvivorsDiffer => "SURVIVORS_DIFFER",
            Self::ModelDiffers => "MODEL_DIFFERS",
            Self::ConfirmationUnsigned => "CONFIRMATION_UNSIGNED",
            Self::TooFewConfirmations => "TOO_FEW_CONFIRMATIONS",
            Self::OtherRound => "OTHER_ROUND",
            Self::SecondRequest => "SECOND_REQUEST",
            Self::GoingBack => "GOING_BACK",
            Self::OutOfOrder => "OUT_OF_ORDER",
            Self::AnsweredBefore => "ANSWERED_BEFORE",
            Self::Ended => "ENDED",
            Self::StateLost => "STATE_LOST",
            Self::VectorMismatch => "VECTOR_MISMATCH",
        }
    }

    /// Whether the round is over for the node. The others are strays: late, early, repeated or of another round; they change
    /// nothing and the right message may still come.
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            Self::OtherRound | Self::GoingBack | Self::OutOfOrder | Self::AnsweredBefore | Self::VectorMismatch
        )
    }

    /// The refusal as an error that names the node it is about.
    pub fn about(self, node: u64) -> Error {
        Error::from(self).with("node", node)
    }

    pub fn of(error: &Error) -> Option<Self> {
        let reason = error.fact("reason").filter(|_| error.code == Code::SecaggRefused)?;
        Self::ALL.into_iter().find(|refusal| refusal.as_str() == reason)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(Code::SecaggRefused, "the node does not take part in this").with("reason", refusal.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_refusal_has_its_own_string_and_comes_back_from_its_error() {
        let strings: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
        assert_eq!(strings.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of(&refusal.into()), Some(refusal));
        }
        assert_eq!(Refusal::of(&Error::new(Code::Argument, "x").with("reason", "ENDED")), None);
    }
}
