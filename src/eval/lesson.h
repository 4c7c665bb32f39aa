/* What a feature network learns from images without classes: to tell by how many quarters one was
 * turned, which wants an idea of what is in it (Gidaris, Singh and Komodakis, arXiv:1803.07728),
 * and whether it was blurred, as images are that were drawn in too few steps. */
#ifndef FEW_EVAL_LESSON_H
#define FEW_EVAL_LESSON_H

#include "image/image.h"

/* Kinds of images that are to be told apart: sharp and blurred ones of every turn; where they are
 * not square, upright or on their heads. */
int few_lesson_kinds(int h, int w);

/* to = from [h,w,c] as `kind`; they must not overlap. scratch: [h,w,c]. */
void few_lesson_make(uint8_t *to, const uint8_t *from, int h, int w, int c, int kind,
                     uint8_t *scratch);

#endif
