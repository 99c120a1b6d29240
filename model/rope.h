/* Angles of rotary position embeddings (Su et al. 2021), as transformers makes them from a config:
 * rope_type default, and llama3's scaling by wavelength (transformers, modeling_rope_utils.py). */
#ifndef ROPE_H
#define ROPE_H

typedef struct RopeParameters {
    double theta;
    int llama3; /* the fields below count only if set */
    double factor, low_freq_factor, high_freq_factor;
    int original_positions;
} RopeParameters;

/* frequency [D / 2]: radians a position. Arithmetic of IEEE doubles alone, so the same everywhere:
 * no function of the C library, whose last bits differ. */
void rope_frequencies(double *frequency, int D, const RopeParameters *parameters);

/* cosine and sine [D / 2] of position times frequency, rounded to float once. */
void rope_angles(float *cosine, float *sine, int position, const double *frequency, int D);

#endif
