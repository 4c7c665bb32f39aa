/* How fast this CPU multiplies pairs of bf16 without tiles. */
#ifndef FEW_CPU_PAIRS_H
#define FEW_CPU_PAIRS_H

/* Multiply-adds a second of AVX512_BF16's vdpbf16ps over those of f32's vfmadd, both measured in
 * registers on the calling thread, the best of several short loops; 0 where the CPU or the system
 * lacks it. Some CPUs answer 2, some 0.5. About 0.2 ms; nothing is remembered. */
double few_bf16_pairs_gain(void);

/* The same by the loops themselves, for a CPU that has it. */
double few_bf16_pairs_measure(void);

#endif
