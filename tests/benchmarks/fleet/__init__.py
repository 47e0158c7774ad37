"""One to three stacks behind a load balancer: what each more brings, and what is lost when one goes."""
