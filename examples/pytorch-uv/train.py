"""Fit y = 2x + 1 with PyTorch, and write the weights for predict.py."""

import numpy as np
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.linspace(-1, 1, 100, device=device).unsqueeze(1)
y = 2 * x + 1
model = torch.nn.Linear(1, 1).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for _ in range(200):
    loss = torch.nn.functional.mse_loss(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
np.savez("line.npz", w=model.weight.detach().cpu(), b=model.bias.detach().cpu())
print(f"trained on {device}, loss {loss.item():.6f}")
