#!/bin/bash
echo test
