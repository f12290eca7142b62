"""What a training run did to held-out pairs: its trajectories (Figure 4 of the paper), and the sicknesses that they show."""
