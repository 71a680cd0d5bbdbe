//! The tests of every store, written against `dyn Store`: each claim is a function over a bench.
//!
//! A store's own tests give a [`Bench`] to [`store_suite`], which makes a test of every claim. A claim that is missing
//! from the list is unused code, which the checks refuse. A store that keeps everything in its tables gives [`Tables`] to
//! [`damage_suite`] too.

use std::sync::Arc;

use async_trait::async_trait;

use crate::training::Store;

pub(super) mod aliases;
pub(super) mod changes;
pub(super) mod corrections;
pub(super) mod damage;
pub(super) mod fixtures;
pub(super) mod fleet;
pub(super) mod ingest;
pub(super) mod learners;
pub(super) mod registry;
pub(super) mod trainers;

/// A database of its own that can be opened again and again.
#[async_trait]
pub(super) trait Bench: Send + Sync {
    /// A store on the bench's database; another handle of it if one is open already.
    async fn open(&self) -> Arc<dyn Store>;

    /// Whether this machine has what the bench needs; if not, its claims are passed over.
    fn is_there(&self) -> bool {
        true
    }
}

/// A bench whose tables can be looked at and broken, as the migrations name them; SQL that both databases understand.
#[async_trait]
pub(super) trait Tables: Bench {
    /// Runs a statement that must change something. A cast of a text to bytes is written `AS BLOB`.
    async fn change(&self, statement: &str);

    /// The number that a query gives.
    async fn count(&self, query: &str) -> i64;
}

/// Makes a test of every claim; the expression makes a new bench.
macro_rules! store_suite {
    ($bench:expr) => {
        crate::store::suite::claims! { $bench;
            ingest:
                acked_examples_are_read_back_dense_after_reopening,
                an_id_that_is_known_is_counted_and_not_stored_again,
                an_id_that_comes_twice_in_one_call_is_stored_once,
                a_replay_gets_the_first_answer_even_after_reopening,
                a_replay_says_what_its_append_stood_for,
                a_key_with_another_body_is_refused_and_stores_nothing,
                a_key_belongs_to_its_learner,
                keys_are_forgotten_after_their_days_and_not_before,
                concurrent_appends_stay_dense,
                many_rows_with_ids_keep_their_order,
                labels_come_back_exactly,
                fetched_places_that_do_not_exist_are_left_out,
                a_gone_learner_is_refused_and_the_others_are_stored,
                pages_of_a_stream_follow_each_other;
            corrections:
                a_deleted_example_leaves_a_tombstone_in_its_place,
                the_id_of_a_deleted_example_is_never_free_again,
                deleting_again_or_deleting_nothing_changes_nothing,
                a_replaced_example_keeps_its_place,
                what_is_replaced_by_itself_is_not_corrected,
                the_last_of_several_replacements_in_a_request_stays,
                every_outcome_is_told_in_order,
                corrections_are_numbered_without_gaps_and_told,
                corrections_of_a_deleted_learner_are_gone;
            learners:
                a_created_learner_has_its_first_version_live_and_its_checkpoint,
                a_taken_name_is_refused_and_nothing_of_it_is_stored,
                learners_are_listed_by_name_in_pages,
                settings_are_replaced_only_at_their_revision,
                a_deleted_learner_is_gone_at_once_and_its_name_is_free,
                a_number_is_never_given_twice,
                a_learner_that_names_a_missing_blob_is_not_created;
            registry:
                a_blob_of_many_parts_is_read_back,
                a_blob_may_be_put_twice,
                puts_of_the_same_bytes_at_once_make_one_blob,
                an_empty_blob_is_a_blob,
                a_version_is_read_back_as_it_was_published,
                dropped_weights_leave_their_rows_and_take_their_blobs,
                a_blob_that_two_learners_share_outlives_one_of_them,
                a_put_that_waits_for_its_commit_is_not_swept;
            aliases:
                the_history_is_dense_and_says_who_moved_what_and_why,
                one_of_two_who_change_the_same_generation_wins,
                changes_from_two_handles_at_once_leave_no_gap,
                a_change_that_changes_nothing_leaves_no_trace,
                a_commit_does_not_move_a_pinned_live_and_what_it_accepted_waits,
                an_alias_moves_only_to_a_version_with_its_weights,
                what_aliases_need_keeps_its_weights,
                no_sweep_takes_what_an_alias_moves_to_meanwhile,
                a_deleted_alias_comes_back_in_a_later_generation,
                which_version_held_at_a_time_is_answered,
                a_lineage_leads_back_to_the_first_version,
                a_growth_is_found_by_its_version;
            trainers:
                a_lease_is_held_by_one_owner_at_a_time,
                an_expired_lease_can_be_taken,
                tokens_grow_with_every_holder,
                a_stale_fence_writes_nothing,
                a_lease_that_was_given_back_writes_nothing,
                a_commit_is_visible_whole_after_reopening,
                features_come_with_a_commit_and_no_settings_take_them_away,
                a_commit_that_names_a_missing_blob_changes_nothing,
                a_commit_whose_version_is_taken_changes_nothing,
                a_commit_to_a_missing_live_version_changes_nothing,
                a_replaced_checkpoint_takes_its_blobs_with_it,
                numbers_of_a_checkpoint_come_back_to_the_last_bit,
                journal_positions_are_dense,
                the_journal_is_filtered_by_kind_in_order,
                tickets_are_taken_in_order_and_keep_their_outcome;
            fleet:
                an_overview_shows_where_every_learner_stands,
                a_lease_shows_its_holder_until_it_runs_out_by_the_clock_of_the_database,
                a_failure_is_shown_until_the_learner_is_taken_again;
            changes:
                what_is_committed_is_told_to_those_who_follow;
        }
    };
}

/// Makes a test of every claim about the tables of a store that keeps everything in them.
macro_rules! damage_suite {
    ($bench:expr) => {
        crate::store::suite::claims! { $bench;
            damage:
                parts_hold_at_most_four_mebibytes,
                a_damaged_blob_is_detected,
                a_put_that_was_broken_off_is_never_seen_and_swept_after_an_hour,
                a_claim_whose_process_died_ends_after_an_hour,
                no_row_ever_names_an_incomplete_blob,
                damaged_rows_are_named_and_not_quoted,
                every_row_of_a_deleted_learner_goes_also_after_a_restart;
        }
    };
}

/// The list of a suite turned into tests.
macro_rules! claims {
    ($bench:expr; $($area:ident: $($claim:ident),+;)+) => {
        $($(
            #[tokio::test]
            async fn $claim() {
                use crate::store::suite::Bench as _;
                let bench = $bench;
                if bench.is_there() {
                    crate::store::suite::$area::$claim(&bench).await;
                }
            }
        )+)+
    };
}

pub(super) use {claims, damage_suite, store_suite};
