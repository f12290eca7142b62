"""The paper's Table 2 in miniature: data sets x objectives x learning rates x seeds over the classroom's models, cell by cell."""
