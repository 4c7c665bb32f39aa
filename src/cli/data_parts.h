/* The form of fewstep data that makes something of a model: returns an exit code. */
#ifndef FEW_CLI_DATA_PARTS_H
#define FEW_CLI_DATA_PARTS_H

#include "train/trajectories.h"

/* Trajectories of `teacher` (a file or a run) into `output`; see few_trajectories_make. */
int few_cli_data_trajectories(const char *teacher, const char *output, few_trajectories_options *o);

#endif
