/* A run's states on disk: checkpoints/step-NNNNNNNN/ holds model.safetensors (what is shipped),
 * state.safetensors (every array a later step depends on) and manifest.json, written last, with the
 * sizes and checksums of both. A folder is made under another name and renamed when it is whole, so
 * kill -9 at any moment leaves the last complete state loadable. */
#ifndef FEW_TRAIN_STATE_H
#define FEW_TRAIN_STATE_H

#include "train/trainer.h"

/* Save the trainer's state, then delete all but the last train.keep complete ones. Refuses (with
 * FEW_EDIVERGED) to save numbers that are not finite. */
few_status few_state_save(const few_trainer *t, const char *run, few_error *err);

/* Load the newest complete state into a started trainer; incomplete or damaged ones are passed over
 * and named in *passed_over (may be NULL). FEW_ENOTFOUND when there is none. */
few_status few_state_load(few_trainer *t, const char *run, few_strbuf *passed_over, few_error *err);

/* Path of the newest complete state's model file; free with few_free. FEW_ENOTFOUND: none. */
few_status few_state_model_path(const char *run, char **path, few_error *err);
/* *step: of the newest state, damaged or not; -1 when there is none. Fails when the folder cannot
 * be read, which says nothing about what is in it. */
few_status few_state_newest(const char *run, int64_t *step, few_error *err);

/* Delete a folder and what is in it (files and one level of folders). */
few_status few_remove_folder(const char *path, few_error *err);

#endif
